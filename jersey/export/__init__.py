"""From a network to ONNX files, none of which is left unless it gave torch's answers on real crops."""

from jersey.export.onnx_file import Agreement, ExportError, export_onnx
from jersey.export.variants import Variant, VariantName, export_variants

__all__ = ["Agreement", "ExportError", "Variant", "VariantName", "export_onnx", "export_variants"]
