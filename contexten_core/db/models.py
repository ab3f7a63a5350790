"""Every table, imported so that `Base.metadata` is whole."""

import contexten_core.analytics.models
import contexten_core.codebase.models
import contexten_core.errors.models
import contexten_core.events.models
import contexten_core.learning.models
import contexten_core.projects.models
import contexten_core.prompts.models
import contexten_core.security.models
import contexten_core.tasks.models  # noqa: F401 - imported for their tables
from contexten_core.db.base import Base

metadata = Base.metadata
