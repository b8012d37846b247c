"""Audio models of Hugging Face transformers, from a local folder, in PyTorch.

Three ways in: encoders of waveforms (Wav2Vec2, HuBERT, WavLM, data2vec-audio
and whatever else takes `input_values` [batch, samples]), the patches of the
Audio Spectrogram Transformer, and the encoder of Whisper.
"""

import os
from collections.abc import Callable, Sequence

import numpy as np

from byola_tf.errors import UserError
from train_lib.probe.models.audio_model import AudioModel, fingerprint_of, pooled

_SHORTEST_SAMPLES = 400  # one window of every front end here
_WHISPER_STRIDE = 2  # log-mel frames a frame of its encoder


class HuggingFaceModel(AudioModel):
    """A folder written by `save_pretrained`.

    The feature extractor in the folder prepares the audio; without one, the
    family's defaults do.

    Args:
        path: of the folder.
        pooling: of frames, mean over time when None, as published for Wav2Vec2;
            AST's own clip vector when None.
        layers: numbers of hidden states, or "all", to concatenate instead of
            the last one's; None for the output.

    Raises:
        UserError: transformers is absent, or the folder is no audio model.
    """

    def __init__(
        self,
        path: str,
        pooling: str | None = None,
        layers: Sequence[str] | None = None,
    ):
        transformers = _transformers(path)
        if not os.path.isfile(os.path.join(path, "config.json")):
            raise UserError(
                "A Hugging Face model must be a local folder with config.json. "
                f"Received: {path!r}. Download it first: nothing is fetched here."
            )
        try:
            self._model = transformers.AutoModel.from_pretrained(
                path, local_files_only=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                "A Hugging Face model must be a folder that transformers opens. "
                f"Received: {path!r} ({str(error).splitlines()[0]})."
            ) from error
        self.name = f"hf:{path}"
        self._pooling = pooling
        kind = self._model.config.model_type
        if kind == "whisper":
            self._model = self._model.get_encoder()
        self._model.eval()
        self._layers = _checked(layers, self._model.config.num_hidden_layers)
        self._extractor = self._open_extractor(transformers, path, kind)
        self._frames = self._frames_by_kind(kind)
        self.sample_rate = int(self._extractor.sampling_rate)
        self.fingerprint = fingerprint_of([path], pooling, self._layers)

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """See `AudioModel.embed`."""
        import torch

        with torch.inference_mode():
            outputs = self._frames(np.asarray(waveform, np.float32))
        vectors = [
            pooled(frames.float().numpy(), len(waveform), None, self.name)
            if frames.ndim == 2
            else pooled(
                frames.float().numpy(), len(waveform), self._pooling, self.name, "mean"
            )
            for frames in outputs
        ]
        return np.concatenate(vectors, axis=1)

    def _frames_by_kind(self, kind: str) -> Callable:
        if kind == "whisper":
            return self._whisper_frames
        if kind == "audio-spectrogram-transformer":
            return self._patch_frames
        if self._model.main_input_name != "input_values":
            raise UserError(
                "A Hugging Face model must take waveforms, or be AST or Whisper. "
                f"Received: {self.name!r}, a {kind!r} model that takes "
                f"`{self._model.main_input_name}`. Wrap it: "
                "--model=python:MODULE:FUNCTION."
            )
        return self._waveform_frames

    def _open_extractor(self, transformers, path: str, kind: str):
        """The folder's feature extractor, or the family's with its defaults."""
        if os.path.isfile(os.path.join(path, "preprocessor_config.json")):
            return transformers.AutoFeatureExtractor.from_pretrained(
                path, local_files_only=True
            )
        config = self._model.config
        if kind == "whisper":
            seconds = config.max_source_positions * _WHISPER_STRIDE // 100
            return transformers.WhisperFeatureExtractor(
                feature_size=config.num_mel_bins, chunk_length=seconds
            )
        if kind == "audio-spectrogram-transformer":
            return transformers.ASTFeatureExtractor(
                num_mel_bins=config.num_mel_bins, max_length=config.max_length
            )
        return transformers.Wav2Vec2FeatureExtractor()

    def _prepared(self, waveform: np.ndarray):
        """The model's input, a tensor with the batch in front."""
        missing = max(0, _SHORTEST_SAMPLES - waveform.shape[1])
        waveform = np.pad(waveform, ((0, 0), (0, missing)))
        prepared = self._extractor(
            list(waveform), sampling_rate=self.sample_rate, return_tensors="pt"
        )
        return prepared[self._extractor.model_input_names[0]]

    def _hidden(self, output) -> list:
        """The chosen hidden states, or the last: [batch, tokens, d] each."""
        if not self._layers:
            return [output.last_hidden_state]
        return [output.hidden_states[layer] for layer in self._layers]

    def _run(self, prepared):
        return self._model(prepared, output_hidden_states=bool(self._layers))

    def _waveform_frames(self, waveform: np.ndarray) -> list:
        return self._hidden(self._run(self._prepared(waveform)))

    def _whisper_frames(self, waveform: np.ndarray) -> list:
        """Frames of windows as long as the model is trained for, end to end.

        What is padded to fill the last window is left out.
        """
        window = self._extractor.n_samples
        hop = self._extractor.hop_length * _WHISPER_STRIDE
        pieces = [
            self._hidden(self._run(self._prepared(waveform[:, start : start + window])))
            for start in range(0, waveform.shape[1], window)
        ]
        valid = -(-waveform.shape[1] // hop)
        return [_joined(layer)[:, :valid] for layer in zip(*pieces, strict=True)]

    def _patch_frames(self, waveform: np.ndarray) -> list:
        """AST's clip vector, or its patches averaged over frequency.

        Longer clips than the model is trained for are embedded piece by piece;
        the vectors of the pieces are then frames.
        """
        config = self._model.config
        window = config.max_length * self.sample_rate // 100  # frames of 10 ms
        outputs = [
            self._run(self._prepared(waveform[:, start : start + window]))
            for start in range(0, waveform.shape[1], window)
        ]
        if not self._pooling and not self._layers:
            vectors = [output.pooler_output[:, None] for output in outputs]
            return [_joined(vectors)] if len(vectors) > 1 else [vectors[0][:, 0]]
        num_mel = (config.num_mel_bins - config.patch_size) // config.frequency_stride
        pieces = [
            [
                hidden[:, 2:].unflatten(1, (num_mel + 1, -1)).mean(1)
                for hidden in self._hidden(output)
            ]
            for output in outputs
        ]  # the first two tokens stand for the clip
        return [_joined(layer) for layer in zip(*pieces, strict=True)]


def _joined(pieces: Sequence):
    """Pieces of a clip [batch, time, d] one after another."""
    import torch

    return torch.cat(list(pieces), dim=1)


def _checked(layers: Sequence[str] | None, num_layers: int) -> tuple[int, ...]:
    if not layers:
        return ()
    if list(layers) == ["all"]:
        return tuple(range(num_layers + 1))
    known = {str(layer): layer for layer in range(num_layers + 1)}
    if not set(layers) <= set(known):
        raise UserError(
            f"`layers` must be numbers of hidden states, 0 to {num_layers}, or all. "
            f"Received: {','.join(layers)}."
        )
    return tuple(known[layer] for layer in layers)


def _transformers(path: str):
    try:
        import torch  # noqa: F401  transformers imports without it
        import transformers
    except ImportError as error:
        raise UserError(
            "A Hugging Face model must have transformers and PyTorch installed. "
            f"Received: {path!r} without them ({error}). "
            "pip install 'byola-tf[transformers]'."
        ) from error
    transformers.utils.logging.disable_progress_bar()
    return transformers
