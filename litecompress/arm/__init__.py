"""Emulated Arm cores: a small aarch64 system, and packages run in it by qemu-user."""
