"""Signatures, and text from outside made safe to keep and to show."""
