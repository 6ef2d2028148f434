"""What tests do with result files."""

import hashlib
import json


def signed(data):
    """`data` as a file with the ID of its content, as `tally run` makes it."""
    data["context"]["result_id"] = ""
    text = json.dumps(data, indent=2) + "\n"
    return text.replace('"result_id": ""', f'"result_id": "{hashlib.sha256(text.encode()).hexdigest()[:16]}"', 1)
