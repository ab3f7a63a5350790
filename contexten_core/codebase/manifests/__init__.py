"""What a repository depends on, read from its manifests and lock files: pure functions over their bytes."""

from contexten_core.codebase.manifests.dependency import Dependency, Ecosystem, Scope
from contexten_core.codebase.manifests.read import MOST_MANIFEST_BYTES, Manifests, is_manifest, read_manifests

__all__ = [
    "MOST_MANIFEST_BYTES",
    "Dependency",
    "Ecosystem",
    "Manifests",
    "Scope",
    "is_manifest",
    "read_manifests",
]
