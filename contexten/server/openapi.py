"""The OpenAPI document as a file: `python -m contexten.server.openapi > docs/reference/openapi.json`."""

import json
import sys

from contexten.server.app import create_app
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Settings


def openapi_text() -> str:
    """Return the document of the application, the same on every machine."""
    document = create_app(SystemOrchestrator(Settings()), lifespan=None).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_text())
