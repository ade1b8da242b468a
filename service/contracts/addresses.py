"""Addresses that clients give for images: only what surely is a public web address.

Nothing is fetched here. Providers fetch them, and what they resolve is theirs to guard; but an
address that no stranger could mean well is refused before it is stored or sent.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

#: printable ASCII without the characters that parsers read differently; anything else is escaped
_PLAIN = re.compile(r"[!#-;=?-\[\]_a-z~]+")

#: host names: at least two labels, the last one no number
_NAME = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE
)

#: names that mean something on one network only
_PRIVATE_NAMES = (
    ".local", ".localhost", ".localdomain", ".internal", ".intranet", ".lan", ".home", ".corp",
    ".private", ".home.arpa", ".in-addr.arpa", ".ip6.arpa", ".onion", ".invalid",
)  # fmt: skip

#: IPv6 ranges that carry IPv4 addresses inside
_CARRIERS = tuple(
    map(ipaddress.ip_network, ("::/96", "::ffff:0:0/96", "64:ff9b::/32", "2002::/16", "2001::/32"))
)


def public_web_address(url: str) -> str:
    """The address itself. Raises ``ValueError`` with what is wrong."""
    if not _PLAIN.fullmatch(url):
        raise ValueError("must be a plain URL; escape spaces and letters outside ASCII")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("must be an http or https URL without user name")
    if not (_is_public_number(host) if _is_number(parts.netloc) else _is_public_name(host)):
        raise ValueError("must be a public address")
    return url


def _is_number(netloc: str) -> bool:
    return netloc.startswith("[") or netloc.partition(":")[0].rpartition(".")[2].isdigit()


def _is_public_number(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # octal, hexadecimal and short forms among them
    if isinstance(address, ipaddress.IPv6Address) and any(address in carrier for carrier in _CARRIERS):
        return False
    # is_global is true for 192.0.0.192, a cloud's metadata address.
    special = address in ipaddress.ip_network("192.0.0.0/24") if address.version == 4 else False  # noqa: PLR2004 - IPv4
    return address.is_global and not (address.is_multicast or address.is_reserved or special)


def _is_public_name(host: str) -> bool:
    return bool(_NAME.fullmatch(host)) and len(host) <= 253 and not host.endswith(_PRIVATE_NAMES)  # noqa: PLR2004 - DNS
