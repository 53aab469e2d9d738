"""Finds the faults of a data set before a model is trained on it: `python -m jersey.data.audit ROOT`.

The audit reports counts and sizes, unusable files, labels that a split lacks, and copies of an image with several
labels, in several splits or within one, even if they were re-encoded, resized or mirrored. It does not need torch.
"""

from jersey.data.audit.findings import AuditFinding, AuditRow
from jersey.data.audit.survey import Audit, audit_folder, fast_audit

__all__ = ["Audit", "AuditFinding", "AuditRow", "audit_folder", "fast_audit"]
