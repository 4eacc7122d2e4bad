"""Makes today's eventlet fit Ryu 4.34, which nobody maintains; for use before Ryu is imported."""

from __future__ import annotations

import sys
import warnings


def prepare_for_ryu() -> None:
    """Give Ryu the constant that it imports from eventlet.wsgi, gone since eventlet 0.30.3.

    eventlet takes pyOpenSSL along where it finds one. Nothing here needs it, and the
    distribution's does not load beside a newer cryptography: so there is none for it to find.
    """
    sys.modules.setdefault("OpenSSL", None)  # type: ignore[arg-type]
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    import eventlet.wsgi

    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
