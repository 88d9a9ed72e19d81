"""What simplified pictures of anyone's language model are worth, on texts of anyone's: `audit`, and `python -m lib audit`."""

from lib.audit.audit import audit
from lib.audit.results import Audit

__all__ = ["Audit", "audit"]
