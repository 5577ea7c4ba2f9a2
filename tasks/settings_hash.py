"""Tell by which settings something ran."""

import hashlib

from schemas.settings import Settings


def settings_hash(settings: Settings) -> str:
    """Give a fingerprint of the settings, secrets left out, to tell which ones a session ran by."""
    text = settings.model_dump_json(exclude={"secrets", "store", "ledger_url"})
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
