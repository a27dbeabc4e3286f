"""What pruning and quantizing each tensor alone costs in loss, and what it saves in bytes."""
