"""Looks for what is wrong with a data set before a model learns it: `python -m jersey.data.audit ROOT`.

Counts and sizes; files that cannot be used; one picture under several labels, in several splits, or several times in
one, also where a copy was re-encoded, resized or mirrored; labels that a split lacks. Nothing here needs torch.
"""

from jersey.data.audit.findings import AuditFinding, AuditRow
from jersey.data.audit.survey import Audit, audit_folder, fast_audit

__all__ = ["Audit", "AuditFinding", "AuditRow", "audit_folder", "fast_audit"]
