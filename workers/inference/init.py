"""Set up the inference worker: `python -m workers.inference.init`. Can be repeated.

Makes its private keys once and writes their public halves to `public/inference.json`, which the key
holder publishes in its manifest.
"""

from __future__ import annotations

import json

from config import InferenceConfig
from crypto.encoding import b64u
from workers.inference.secrets import InferenceSecrets


def main() -> None:
    config = InferenceConfig.from_environment()
    secrets = InferenceSecrets.make(config)
    public = {
        "sealing": {
            "key_id": secrets.sealing_key.key_id,
            "public": b64u(secrets.sealing_key.public),
        },
        "report_key": secrets.report_key.public_jwk,
    }
    config.public_file.parent.mkdir(parents=True, exist_ok=True)
    temporary = config.public_file.with_suffix(".new")
    temporary.write_text(json.dumps(public, indent=2) + "\n")
    temporary.replace(config.public_file)


if __name__ == "__main__":
    main()
