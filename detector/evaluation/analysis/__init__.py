from detector.evaluation.analysis.analyse import Analysis, analyse
from detector.evaluation.analysis.document import ANALYSIS, document, leave_analysis, write_analysis

__all__ = ["ANALYSIS", "Analysis", "analyse", "document", "leave_analysis", "write_analysis"]
