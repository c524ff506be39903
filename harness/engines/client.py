"""An HTTP client for engines' servers: every failure is an EngineError that names the address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from harness.engines.worker import EngineError

TIMEOUT_S = 600.0


class Client:
    """Asks the server at `url`, never through a proxy of the environment: a proxy may hold a stream back."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.http = httpx.Client(timeout=timeout_s, trust_env=False)

    def get(self, path: str) -> str:
        """The text of a page."""
        with self.asking():
            response = self.http.get(self.url + path)
        self.check(response, path)
        return response.text

    def get_json(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """A page's JSON; with `body`, the answer to it."""
        with self.asking():
            response = self.http.get(self.url + path) if body is None else self.http.post(self.url + path, json=body)
        self.check(response, path)
        try:
            return response.json()
        except ValueError as error:
            raise EngineError(f"{self.url}{path} answered {response.text!r:.200}, expected JSON") from error

    @contextmanager
    def stream(self, path: str, body: dict[str, Any]) -> Iterator[Iterator[str]]:
        """The lines of a streamed answer as they come."""
        with self.asking(), self.http.stream("POST", self.url + path, json=body) as response:
            if response.status_code != 200:
                response.read()
            self.check(response, path)
            yield response.iter_lines()

    def check(self, response: httpx.Response, path: str) -> None:
        if response.status_code != 200:
            reason = " ".join(response.text[:2000].split())
            raise EngineError(f"{self.url}{path} answered {response.status_code}: {reason}")

    @contextmanager
    def asking(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL) as error:
            raise EngineError(f"{self.url} does not answer: {error or type(error).__name__}") from error
        except (httpx.HTTPError, UnicodeDecodeError) as error:
            raise EngineError(f"{self.url}: the answer broke off ({type(error).__name__}: {error})") from error

    def close(self) -> None:
        self.http.close()
