"""Addresses of pictures: a provider fetches them, so they must not lead anywhere private."""

from __future__ import annotations

import pytest

from service.addresses import is_public, plain_web_address
from tests.house import House
from tests.service.contracts.kit import fields, problem

#: by the way in which they say it
PRIVATE = {
    "loopback": ["http://127.0.0.1/a.png", "http://127.9.9.9/", "https://127.0.0.1:8420/", "http://[::1]/"],
    "this host": ["http://0.0.0.0/", "http://0/", "http://[::]/"],
    "private networks": [
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://[fc00::1]/",
        "http://[fd12:3456::1]/",
    ],
    "link-local and metadata": [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://metadata.google.internal/",
        "http://192.0.0.192/",
        "http://100.100.100.200/latest/meta-data/",
        "http://168.63.129.16/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://[fec0::1]/",
    ],
    "not for single hosts": [
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://240.0.0.1/",
        "http://[ff02::1]/",
    ],
    "one number": ["http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7F000001/"],
    "fewer than four numbers": ["http://127.1/", "http://127.0.1/", "http://10.1/", "http://0x7f.1/"],
    "octal": ["http://0177.0.0.1/", "http://0300.0250.1.1/", "http://127.0.0.01/"],
    "hexadecimal": ["http://0x7f.0x0.0x0.0x1/", "http://0xa9.0xfe.0xa9.0xfe/", "http://127.0.0.0x1/"],
    "numbers that are no address": ["http://1.2.3.4.5/", "http://256.256.256.256/", "http://999.1.1.1/"],
    "IPv4 inside IPv6": [
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:7f00:1::]/",
    ],
    "trailing dot": [
        "http://127.0.0.1./",
        "http://localhost./",
        "http://printer.local./",
        "http://db.internal./",
    ],
    "names of this network": [
        "http://localhost/",
        "http://LOCALHOST/",
        "http://localhost:8420/",
        "http://a.localhost/",
        "http://printer.local/",
        "http://PRINTER.LOCAL/",
        "http://db.internal/",
        "http://intranet/",
        "http://nas.home.arpa/",
    ],
    "digits in other scripts": [
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://127\u30020\u30020.1/",
        "http://\u2460\u2461\u2466.0.0.1/",
    ],
    "escaped hosts": ["http://127.0.0.%31/", "http://%31%32%37.0.0.1/", "http://%6cocalhost.%6cocal/"],
}
WRONG = {
    "other schemes": [
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "data:image/png;base64,AA==",
        "ws://example.com/",
        "//example.com/a.png",
        "example.com/a.png",
        "/outputs/a.mp4",
        "https:example.com",
        "https:/example.com",
        "https:///a.png",
        "http://",
        "text",
    ],
    "user information": [
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://:pass@example.com/",
        "http://@example.com/",
        "http://:@example.com/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1@example.com/",
    ],
    "backslashes": [
        "http://127.0.0.1\\.example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http:\\\\127.0.0.1/",
    ],
    "whitespace and control characters": [
        "http://exam ple.com/",
        "http://example.com/a b.png",
        " http://example.com/",
        "http://example.com/ ",
        "http://example.com/\n",
        "http://exam\tple.com/",
        "http://example.com/\r\nX-Evil: 1",
        "http://example.com\u00a0/",
        "\u0001http://example.com/",
        "http://exam\u0001ple.com/",
        "http://example.com/\u007f",
        "http://exam\u200bple.com/",
    ],
    "hosts that are none": [
        "http://.example.com/",
        "http://a..b/",
        "http://[::1/",
        "http://[v1.fe80]/",
        "http://[]/",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://example.com:-1/",
    ],
}
GOOD = (
    "https://example.com/lamp.png",
    "http://example.com/lamp.png",
    "HTTPS://EXAMPLE.COM/Lamp.PNG",
    "https://cdn.example.co.uk:8443/a/b.png?width=100&x=%20#top",
    "https://example.com/http://127.0.0.1/",
    "https://example.com/?next=http://127.0.0.1/",
    "https://1.1.1.1/lamp.png",
    "https://[2606:4700:4700::1111]/lamp.png",
    "https://xn--bcher-kva.example/lamp.png",
    "https://0x7f.example.com/",
    "https://local.example.com/",
    "https://localhost.example.com/",
    "https://127.0.0.1.example.com/",
)


@pytest.mark.parametrize("kind", [*PRIVATE, *WRONG])
async def test_addresses_that_are_refused(local: House, kind: str, subtests: pytest.Subtests) -> None:
    for url in {**PRIVATE, **WRONG}[kind]:
        with subtests.test(repr(url)):
            answer = await local.post("/api/session/create", {"product": "Lamp", "product_image_url": url})
            assert fields(problem(answer, 422)) == ["product_image_url"]


async def test_every_field_with_an_address_is_checked(local: House, subtests: pytest.Subtests) -> None:
    for name in ("product_image_url", "logo_url", "product_image", "logo"):
        with subtests.test(name):
            answer = await local.post("/api/session/create", {"product": "Lamp", name: "http://127.0.0.1/"})
            assert fields(problem(answer, 422))[0].startswith(name.removesuffix("_url"))


async def test_addresses_that_are_taken(local: House, subtests: pytest.Subtests) -> None:
    for url in GOOD:
        for name in ("product_image_url", "logo_url"):
            with subtests.test(f"{name} {url}"):
                answer = await local.post("/api/session/create", {"product": "Lamp", name: url})
                assert answer.status == 200, answer.json
                assert answer.json["brief"][name] == url


#: numbers that a name may resolve to
NUMBERS = {
    "1.1.1.1": True,
    "2606:4700:4700::1111": True,
    "127.0.0.1": False,
    "10.0.0.1": False,
    "169.254.169.254": False,
    "192.0.0.192": False,
    "192.88.99.1": False,
    "168.63.129.16": False,
    "168.63.129.17": True,
    "224.0.0.1": False,
    "0.0.0.0": False,
    "::": False,
    "::1": False,
    "::ffff:1.1.1.1": False,
    "64:ff9b::101:101": False,
    "2001:db8::1": False,
    "2002:101:101::": False,
    "2001::1": False,
    "3fff::1": False,
    "fe80::1%eth0": False,
    "fec0::1": False,
    "ff02::1": False,
    "0177.0.0.1": False,
    "2130706433": False,
    "localhost": False,
    "": False,
}


@pytest.mark.parametrize(("number", "public"), NUMBERS.items())
def test_public_numbers(number: str, public: bool) -> None:
    assert is_public(number) is public


def test_a_plain_address_may_lead_anywhere() -> None:
    """Whoever connects looks at the numbers, not at the text."""
    for url in ("http://127.0.0.1:8420/", "http://localhost/", "https://[::1]/", *GOOD):
        assert plain_web_address(url) == url
