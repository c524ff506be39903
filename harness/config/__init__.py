"""Every key of `conf/`, typed and checked; nothing here reads a file or knows a model."""

from harness.config.arms import Arm
from harness.config.calibration import CalibrationConfig, CurveConfig
from harness.config.dataset import DatasetConfig, name_of
from harness.config.decoding import DecodingConfig, VerificationConfig
from harness.config.engine import EngineConfig
from harness.config.rows import RowConfig, SourceConfig
from harness.config.run import RunConfig, read_config
from harness.config.scoring import ScoringConfig
from harness.config.target import EMBEDDED, TargetConfig, asset
from harness.config.tracking import TrackingConfig

__all__ = [
    "EMBEDDED",
    "Arm",
    "CalibrationConfig",
    "CurveConfig",
    "DatasetConfig",
    "DecodingConfig",
    "EngineConfig",
    "RowConfig",
    "RunConfig",
    "ScoringConfig",
    "SourceConfig",
    "TargetConfig",
    "TrackingConfig",
    "VerificationConfig",
    "asset",
    "name_of",
    "read_config",
]
