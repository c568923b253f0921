"""What a training run is told: frozen dataclasses, written as JSON (see `config_file`).

A variant is a type of its own; in JSON its `type` says which. Every value is here, with its
default written once; recipes and imported profiles are values of these types.
"""

from dataclasses import dataclass, field
from typing import Literal

ModelKind = Literal[
    "single_instance",
    "centroid",
    "centered_instance",
    "bottomup",
    "multiclass_bottomup",
    "multiclass_centered_instance",
]
"""What one network finds, in the words of the pose contract. A top-down model is two runs: a
centroid and a centered-instance one."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How labelled frames are divided where the labels do not say."""

    validation_fraction: float = 0.1
    """Of all labelled frames, 0 to 0.5; at least one frame where it is not 0."""
    test_fraction: float = 0.0
    """Of all labelled frames, kept out of training and of the choice of the best epoch."""
    by: Literal["frame", "video"] = "frame"
    """Whether single frames or whole videos are drawn. Neighbouring frames of one recording
    say little about another: prefer videos where there are several."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where samples come from and how they are cut."""

    labels: tuple[str, ...]
    """.slp or .pkg.slp files, absolute or relative to the configuration's folder."""
    validation_labels: tuple[str, ...] = ()
    """Files of their own for validation; then `split.validation_fraction` does not count."""
    test_labels: tuple[str, ...] = ()
    """Files of their own for the final evaluation."""
    split: SplitConfig = SplitConfig()
    frames: tuple[int, ...] = ()
    """Indices into the labelled frames of `labels`, in their order; empty: all."""
    limit: int | None = None
    """Train on so many frames only, drawn by `split.seed` (sample efficiency); None: all."""
    channels: Literal[1, 3] | None = None
    """Channels that the network sees; None: 1 where the videos are gray, else 3."""
    input_scale: float | None = 1.0
    """Factor from pixels of the frame (or crop) to pixels of the network's input; None: at most 1,
    so that the middle-sized labelled animal is 24 px long (enough to find it)."""
    anchor_part: str | None = None
    """Node at which an animal's centroid is; None, or not visible: the middle of its nodes'
    bounding box."""
    crop_size_px: int | None = None
    """Side of the crop of centered-instance models in frame pixels; None: what holds every
    labelled animal and 16 px around it, as a multiple of the network's stride."""
    window_px: int | None = 0
    """Side of the square that training of bottom-up models sees of a frame, most often around an
    animal, in pixels of the network's input; None: half as large again as a crop that holds every
    labelled animal; 0: the whole frame, as validation and serving see it."""
    px_per_mm: float | None = None
    """Pixels of the frame per millimetre, where it is known: distances are reported in both."""
    cache: Literal["memory", "disk", "none"] = "memory"
    """Where decoded frames (or what of them is needed) are kept. What would take more than half of
    the free memory is kept on disk."""

    @property
    def scale(self) -> float:
        """The input scale, once it is known: see `open_training_data`."""
        assert self.input_scale is not None
        return self.input_scale


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of images and points together; a range of (x, x) and 0 mean never."""

    rotation_deg: tuple[float, float] = (-180.0, 180.0)
    scale: tuple[float, float] = (0.9, 1.1)
    translation_px: float = 0.0
    """Most shift in x and y, in pixels of the network's input."""
    flip_probability: float = 0.0
    """Mirroring, with the skeleton's symmetric nodes swapped."""
    brightness: tuple[float, float] = (0.0, 0.0)
    """Added, as a fraction of the full range."""
    contrast: tuple[float, float] = (1.0, 1.0)
    """Factor around the image's mean."""
    gamma: tuple[float, float] = (1.0, 1.0)
    noise_std: float = 0.0
    """Most standard deviation of Gaussian noise, as a fraction of the full range."""
    blur_sigma_px: float = 0.0
    """Most standard deviation of a Gaussian blur."""
    articulation_deg: float = 0.0
    """Standard deviation of the rotation of each body part about its joint; short parts turn
    less."""
    articulation_scale: float = 0.0
    """Standard deviation of the relative length of each body part."""
    paste_probability: float = 0.0
    """Another labelled animal laid over or beside this one (mixed crops)."""


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """SLEAP's modular UNet (Nature Methods 2022, Methods, "Neural network architectures")."""

    type: Literal["unet"] = "unet"
    filters: int = 16
    """Channels of the first block."""
    filters_rate: float = 2.0
    """Factor of the channels from block to block."""
    max_stride: int = 16
    output_stride: int = 2
    """Stride of the decoder's end; heads may have larger ones."""
    stem_stride: int = 1
    middle_block: bool = True
    convolutions_per_block: int = 2
    upsampling: Literal["bilinear", "transposed"] = "bilinear"
    skip: Literal["concatenate", "add"] = "concatenate"
    stacks: int = 1


@dataclass(frozen=True, kw_only=True)
class LeapConfig:
    """The network of LEAP (Pereira et al., Nature Methods 2019)."""

    type: Literal["leap"] = "leap"
    filters: int = 64
    filters_rate: float = 2.0
    max_stride: int = 8
    output_stride: int = 1
    upsampling: Literal["bilinear", "transposed"] = "transposed"


@dataclass(frozen=True, kw_only=True)
class HourglassConfig:
    """Stacked hourglass (Newell et al., ECCV 2016)."""

    type: Literal["hourglass"] = "hourglass"
    stem_filters: int = 32
    """Channels of the stem's first convolution (SLEAP: 128 beside 256 and 128 below)."""
    filters: int = 64
    filter_increase: int = 32
    max_stride: int = 64
    output_stride: int = 4
    stem_stride: int = 4
    stacks: int = 3


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """ResNet encoder (He et al., CVPR 2016), dilated from `dilation_from_stride` on."""

    type: Literal["resnet"] = "resnet"
    version: Literal["resnet50", "resnet101", "resnet152"] = "resnet50"
    max_stride: int = 16
    """Where it is below 32, later blocks are dilated instead of strided, as in DeepLabCut."""
    output_stride: int = 4
    decoder_filters: int = 256
    decoder_filters_rate: float = 1.0
    upsampling: Literal["bilinear", "transposed"] = "bilinear"
    skip: Literal["concatenate", "add", "none"] = "concatenate"


@dataclass(frozen=True, kw_only=True)
class PretrainedConfig:
    """An encoder of timm with skip connections into the upsampling decoder."""

    type: Literal["pretrained"] = "pretrained"
    encoder: str = "resnet50"
    """Name of a timm architecture; needs the extra `[backbones]`."""
    weights_file: str | None = None
    """State dictionary of the encoder (.pt, .safetensors); None: random weights."""
    max_stride: int = 32
    output_stride: int = 4
    decoder_filters: int = 256
    decoder_filters_rate: float = 0.5
    upsampling: Literal["bilinear", "transposed"] = "bilinear"
    skip: Literal["concatenate", "add"] = "concatenate"


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Shoal's small residual U-Net on unshuffled pixels: fast to train and to run."""

    type: Literal["compact"] = "compact"
    patch: int = 4
    """Side of the square of input pixels that becomes one pixel's channels."""
    filters: tuple[int, ...] = (64, 128, 160)
    """Channels at strides patch, 2 · patch, 4 · patch …"""
    blocks: tuple[int, ...] = (0, 2, 2)
    """Residual blocks at each of these strides, on the way down; 0 only at the first."""
    up_blocks: tuple[int, ...] = (1, 1)
    """Residual blocks at each of these strides but the last, on the way up."""
    fine_filters: int = 32
    """Channels at the output stride, where it is finer than `patch`."""
    output_stride: int = 2


NetworkConfig = (
    UNetConfig | LeapConfig | HourglassConfig | ResNetConfig | PretrainedConfig | CompactConfig
)


@dataclass(frozen=True, kw_only=True)
class ConfmapsHead:
    """Confidence maps of nodes (or of centroids)."""

    sigma_map_px: float = 2.5
    """Standard deviation of the Gaussian in pixels of the map."""
    output_stride: int = 2
    loss: Literal["mse", "sigmoid", "softmax"] = "mse"
    """`mse`: as SLEAP; `sigmoid`: cross-entropy, for any number of peaks (`losses.peaks_loss`);
    `softmax`: cross-entropy of a softmax over the map, where it has one peak at most (single and
    centered instances)."""
    loss_weight: float = 1.0
    offset_refinement: bool = False
    """Whether a second head learns the way from each map pixel to the node."""


@dataclass(frozen=True, kw_only=True)
class PafsHead:
    """Part affinity fields of bottom-up models."""

    sigma_px: float = 15.0
    """Spread as in `shoal_core.targets.part_affinity_fields`."""
    output_stride: int = 4
    loss_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClassMapsHead:
    """Class maps of bottom-up ID models."""

    radius_map_px: float = 5.0
    """Radius of the disc of each class around the animal's nodes, in pixels of the map."""
    output_stride: int = 4
    loss_weight: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class ClassVectorsHead:
    """Class vectors of top-down ID models, from the encoder's deepest features."""

    layers: tuple[int, ...] = (256, 256, 256)
    """Units of the dense layers after the global maximum."""
    loss_weight: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class HeadsConfig:
    """The heads of the network; which of them there are follows from the kind."""

    confmaps: ConfmapsHead = ConfmapsHead()
    pafs: PafsHead | None = None
    class_maps: ClassMapsHead | None = None
    class_vectors: ClassVectorsHead | None = None
    classes: tuple[str, ...] = ()
    """Identities of ID models; empty: the names of the labels' tracks."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam with AMSGrad (SLEAP), AdamW, or Muon."""

    type: Literal["adam", "adamw", "muon"] = "adam"
    """`muon`: weight matrices and convolutions but those of the heads go by Muon, all else by
    AdamW."""
    learning_rate: float = 1e-4
    muon_factor: float = 15.0
    """Of Muon's learning rate (how far a weight matrix moves in each direction a step) to
    `learning_rate`, which AdamW's weights have."""
    amsgrad: bool = True
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PlateauSchedule:
    """Lowers the learning rate when the validation loss no longer falls."""

    type: Literal["plateau"] = "plateau"
    factor: float = 0.5
    patience_epochs: int = 5
    cooldown_epochs: int = 3
    min_delta: float = 1e-6
    min_learning_rate: float = 1e-8


@dataclass(frozen=True, kw_only=True)
class CosineSchedule:
    """Linear warm-up, then half a cosine down to 0 at the end of the steps or of the time."""

    type: Literal["cosine"] = "cosine"
    warmup_steps: int = 100


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Ends training when the validation loss no longer falls."""

    patience_epochs: int = 10
    min_delta: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class HardMining:
    """Online hard keypoint mining: the worst nodes of a sample weigh more."""

    hard_to_easy_ratio: float = 2.0
    min_hard_nodes: int = 2
    max_hard_nodes: int | None = None
    loss_scale: float = 5.0


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """How the weights are found."""

    batch_size: int = 4
    accumulation_steps: int = 1
    """Batches whose gradients make one step, where a larger batch does not fit in memory."""
    epochs: int = 200
    min_batches_per_epoch: int = 200
    """A small data set is gone through several times an epoch."""
    time_budget_s: float | None = None
    """Training ends after so much time (validation included) and keeps the best; a cosine
    schedule then ends with the time. The evaluation has what is left of it, at least a tenth, and
    scores fewer frames if they take longer. None: `epochs` decide."""
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: PlateauSchedule | CosineSchedule = PlateauSchedule()
    early_stopping: EarlyStopping | None = EarlyStopping()
    hard_mining: HardMining | None = None
    ema_decay: float | None = None
    """Decay a step of the running mean of the weights that validation and export use."""
    max_gradient_norm: float | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Of convolutions (autocast); weights stay float32. fp16 needs a GPU. `auto`: bf16 where the
    device is faster with it, else fp32; in deterministic mode fp32."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How the run is carried out; nothing here changes what is learned, but for rounding."""

    seed: int = 0
    deterministic: bool = False
    """The same bits on the same machine, also after a kill; slower. With a time budget the
    number of steps still hangs on the clock: give `epochs` instead."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    loader_processes: int | None = None
    """Processes that augment samples ahead of the device; None: half of the cores, at most 8."""
    checkpoint_every_epochs: int = 1
    image_count: int = 3
    """Samples of each split whose maps are drawn after every epoch; 0: none."""
    tensorboard: bool = True
    profile: bool = False
    """Whether a trace of a few steps is written (`profile.json`, for a browser's tracer)."""


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """SLEAP's messages over ZeroMQ."""

    publish: tuple[str, ...] = ()
    """Endpoints to connect a PUB socket to, for example "tcp://127.0.0.1:9001" (SLEAP's loss
    viewer binds there) or an "ipc://" path."""
    control: tuple[str, ...] = ()
    """Endpoints to connect a SUB socket to, where {"command": "stop"} and
    {"command": "set_learning_rate", "learning_rate": x} come from."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One run: one network."""

    kind: ModelKind
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    network: NetworkConfig = UNetConfig()
    heads: HeadsConfig = HeadsConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    run: RunConfig = RunConfig()
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    name: str = ""
    """For people; empty: the kind."""
