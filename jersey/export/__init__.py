"""From a network to ONNX files, none of which is left unless it gave torch's answers on real crops."""

from jersey.export.export_module import ExportModule, ExportSettings, export_copy, torch_logits
from jersey.export.onnx_file import ExportError, export_onnx
from jersey.export.parity import Agreement, Reference
from jersey.export.variants import Variant, VariantName, export_variants

__all__ = [
    "Agreement",
    "ExportError",
    "ExportModule",
    "ExportSettings",
    "Reference",
    "Variant",
    "VariantName",
    "export_copy",
    "export_onnx",
    "export_variants",
    "torch_logits",
]
