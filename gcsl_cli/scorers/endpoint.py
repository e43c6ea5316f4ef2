"""Post JSON to an HTTP endpoint that may be slow, busy or broken at times: retries with back-off, and clear errors.

The key is sent to that address only, redirections are not followed, and no message contains it.
"""

import contextlib
import email.utils
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from gcsl_cli.errors import ConfigError, GcslError, first_line

BUSY = (408, 409, 425, 429)
"""Client errors that pass, beside all server errors."""
REFUSED = (400, 413, 422)
"""What an endpoint says to one request that it does not like, such as one that is too long."""
LONGEST_WAIT = 60.0
LONGEST_TIMEOUT = 86_400.0
"""A day."""


class EndpointError(GcslError):
    """An endpoint that cannot be reached, or fails again and again."""


class RefusedError(Exception):
    """The endpoint does not accept this request."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """An address, and how patiently it is asked."""

    url: str
    key: str
    """Empty for none."""
    key_source: str
    """Where the key comes from, in words."""
    timeout: float
    """Seconds without a byte after which a request has failed."""
    retries: int
    backoff: float
    """Seconds before the first retry; they double each time, up to a minute, or are what the endpoint asks for."""

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"

    def post(self, body: Any, stopped: threading.Event) -> Any:
        """Return the JSON of the response; `stopped` ends the waiting.

        Raises:
            RefusedError: the endpoint does not accept this request.
            ConfigError: it does not accept any: the address, the model or the key is wrong.
            EndpointError: no attempt got a response that is JSON.
        """
        data = json.dumps(body).encode()
        problem, asked = "", None
        for attempt in range(self.retries + 1):
            if attempt:
                wait = self.backoff * 2 ** (attempt - 1) * (0.5 + random.random())
                if stopped.wait(min(LONGEST_WAIT, wait) if asked is None else asked):
                    break
            try:
                return self._send(data)
            except urllib.error.HTTPError as error:
                problem, asked = self._explained(error), _retry_after(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException) as error:
                problem, asked = self._hidden(first_line(getattr(error, "reason", None) or error)), None
            except ValueError:
                problem, asked = "a response that is not JSON", None
        raise EndpointError(
            f"{self.url}: no usable response after {self.retries + 1} attempts ({problem}). Is the server up? "
            "Grades so far are saved, and the same command continues with the rest. For a slow server, raise "
            "scorer.retries or scorer.timeout."
        )

    def _send(self, data: bytes) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(self.url, data, headers)
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout) as response:
            return json.loads(response.read())

    def _explained(self, error: urllib.error.HTTPError) -> str:
        """What an error status means; raises unless asking again may help."""
        said = self._hidden(_message(error))
        text = f"HTTP {error.code}{said and f': {said}'}"
        if error.code in BUSY or error.code >= 500:
            return text
        if error.code in REFUSED:
            raise RefusedError(f"the endpoint refused the request ({text})")
        if error.code in (401, 403):
            state = "was not accepted" if self.key else "is not set"
            raise ConfigError(f"{self.url}: {text}. The key from {self.key_source} {state}.")
        raise ConfigError(f"{self.url}: {text}. Correct scorer.base_url or scorer.model.")

    def _hidden(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def is_address(url: str) -> bool:
    """Return True if requests can be sent to an address, whether or not anything is there."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of an IPv6 address
        return False
    return usable and url.isascii() and url.isprintable() and " " not in url


def _message(error: urllib.error.HTTPError) -> str:
    """The endpoint's own words, on one line."""
    try:
        text = error.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    with contextlib.suppress(ValueError, KeyError, TypeError):  # not OpenAI's form: the text is shown as it is
        found = json.loads(text)
        text = str(found["error"]["message"] if isinstance(found["error"], dict) else found["error"])
    return " ".join(text.split())[:200]


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait: a number or a date; None if the header has neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
