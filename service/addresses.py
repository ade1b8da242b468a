"""Addresses that users give for images: only what surely is a public web address.

Nothing is fetched here. An address that no stranger could mean well is refused before it is stored,
sent or fetched. What a name resolves to is for whoever connects to look at, with ``is_public``.
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

#: the only IPv6 addresses that are given to hosts of the internet; those that carry an IPv4 address
#: inside (mapped, NAT64) are outside of it
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

#: what ``is_global`` of the standard library takes for public
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocols; 192.0.0.192 is a cloud's metadata
            "168.63.129.16/32",  # a cloud's inner services
            "192.88.99.0/24",  # relays of 6to4
            "2002::/16",  # 6to4: an IPv4 address inside
            "2001::/32",  # Teredo: an IPv4 address inside
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


def plain_web_address(url: str) -> str:
    """The address itself, if every parser reads it alike. Raises ``ValueError`` with what is wrong."""
    if not _PLAIN.fullmatch(url):
        raise ValueError("must be a plain URL; escape spaces and letters outside ASCII")
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("must be an http or https URL without user name")
    return url


def public_web_address(url: str) -> str:
    """The address itself. Raises ``ValueError`` with what is wrong."""
    parts = urlsplit(plain_web_address(url))
    host = parts.hostname or ""
    if not (is_public(host) if _is_number(parts.netloc) else _is_public_name(host)):
        raise ValueError("must be a public address")
    return url


def is_public(number: str) -> bool:
    """Whether an IP address belongs to a host of the internet, as far as can be told from it.

    Octal, hexadecimal and short forms are no addresses here.
    """
    try:
        address = ipaddress.ip_address(number)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    special = address.is_multicast or address.is_reserved or any(address in net for net in _NOT_PUBLIC)
    return address.is_global and not special


def _is_number(netloc: str) -> bool:
    return netloc.startswith("[") or netloc.partition(":")[0].rpartition(".")[2].isdigit()


def _is_public_name(host: str) -> bool:
    return bool(_NAME.fullmatch(host)) and len(host) <= 253 and not host.endswith(_PRIVATE_NAMES)  # noqa: PLR2004 - DNS
