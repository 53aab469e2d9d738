"""The fit that the tests of callbacks share, as a fixture."""

from helpers import looked_at as shared

looked_at = shared.looked_at
