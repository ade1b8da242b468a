"""One image in a process of its own: ``python -I -m service.media.image_worker``.

Standard input has a line of JSON with the limits (``ImageCleaner``), then the file as it came.
Standard output gets a line of JSON, either ``{"refused": sentence}`` or ``{"width", "height",
"bytes"}``, and after the latter the new file.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image, ImageCms

from service.media.harden import die_with, limit

Order = Mapping[str, Any]

_FORMATS = ("PNG", "JPEG", "WEBP")
#: without saving on colours (subsampling 0), for the sake of letters and logos
_QUALITY = {"quality": 92, "subsampling": 0}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Refused(Exception):
    """Its text is the sentence for the user."""


def main() -> None:
    """Clean the one image."""
    order = json.loads(sys.stdin.buffer.readline())
    die_with(order["parent"])
    limit(nice=order["nice"], memory=order["memory"])
    try:
        picture = _cleaned(sys.stdin.buffer.read(), order)
    except _Refused as refused:
        _refuse(str(refused))
    except Image.DecompressionBombError:
        _refuse(f"The image has more than {order['megapixels']} megapixels; send a smaller one")
    except MemoryError:
        _refuse("The image takes too much memory to read; send a smaller one")
    except Exception:  # noqa: BLE001 - the border of the process: codecs raise what they like at broken files
        traceback.print_exc()
        _refuse("The image is damaged or cut short; save it anew and send that")
    else:
        file = BytesIO()
        picture.save(file, "JPEG", **_QUALITY)
        reply = {"width": picture.width, "height": picture.height, "bytes": file.tell()}
        _say(reply, file.getvalue())


def _say(reply: Order, data: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n" + data)
    sys.stdout.buffer.flush()


def _refuse(sentence: str) -> None:
    _say({"refused": sentence})
    sys.stderr.flush()
    os._exit(0)  # a full heap is no place to tidy up in


def _cleaned(data: bytes, order: Order) -> Image.Image:
    # Pillow refuses above twice this number, before it sets memory aside; below it only warns.
    Image.MAX_IMAGE_PIXELS = order["megapixels"] * 1_000_000 // 2
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    file = Image.open(BytesIO(data), formats=_FORMATS)
    longest = order["longest_side"]
    _check_sides(file, order["least_side"], longest)
    file.draft("RGB", (longest, longest))  # lets a JPEG be decoded at a half, a quarter ...
    file.load()
    turn, profile = _turn(file), file.info.get("icc_profile")
    picture = _whole_colours(file)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    picture = _in_srgb(_opaque(picture), profile)
    if turn is not None:
        picture = picture.transpose(turn)
    picture.info.clear()  # comments and profiles would be written again
    return picture


def _check_sides(picture: Image.Image, least: int, longest: int) -> None:
    short, long = sorted(picture.size)
    found = f"The image is {picture.width} x {picture.height} pixels"
    if short < least:
        raise _Refused(f"{found}; each side must have at least {least}")
    if short * longest < least * long:
        raise _Refused(f"{found}; one side must not be more than {longest // least} times the other")


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """How the camera was held; unreadable metadata say nothing and harm no picture."""
    with suppress(Exception):
        return _TURNS.get(picture.getexif()[ExifTags.Base.Orientation])
    return None


def _whole_colours(picture: Image.Image) -> Image.Image:
    """The picture in 8 bits a channel and without palette, so that it can be scaled."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which convert() would cut off, not scale down
        return picture.point(lambda value: value * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture if picture.mode == "CMYK" else picture.convert("RGB")


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return ground.convert("RGB")


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours that everybody takes an image without profile to have."""
    if profile:
        with suppress(ImageCms.PyCMSError):  # broken, or for other channels: as good as none
            srgb = ImageCms.createProfile("sRGB")
            found = ImageCms.profileToProfile(picture, BytesIO(profile), srgb, outputMode="RGB")
            return found or picture
    return picture.convert("RGB")


if __name__ == "__main__":
    main()
