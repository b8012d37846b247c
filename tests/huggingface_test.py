"""Hugging Face audio models, random ones, saved and opened from their folder.

Skipped where PyTorch and transformers are absent; the slow test of
probe_adapters_test.py runs it in an environment of its own.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from byola_tf.errors import UserError  # noqa: E402
from train_lib.probe.models import opening  # noqa: E402

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
WAVEFORM = {  # a frame every 80 samples
    **SIZES,
    "conv_dim": (32, 32, 32),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 4, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
AST = {**SIZES, "num_mel_bins": 32, "max_length": 100}
WHISPER = {  # windows of a second
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_source_positions": 50,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
FAMILIES = {
    "Wav2Vec2": WAVEFORM,
    "Hubert": WAVEFORM,
    "WavLM": WAVEFORM,
    "Data2VecAudio": {**WAVEFORM, "num_conv_pos_embeddings": 2},
    "AST": AST,
    "Whisper": WHISPER,
}


def clips(num_clips=3, num_samples=20000):
    random = np.random.default_rng(0)
    return random.normal(0, 0.1, (num_clips, num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder and the model in memory, by family."""
    torch.manual_seed(0)
    found = {}
    for family, sizes in FAMILIES.items():
        config = getattr(transformers, f"{family}Config")(**sizes)
        model = getattr(transformers, f"{family}Model")(config).eval()
        folder = tmp_path_factory.mktemp(family)
        model.save_pretrained(folder)
        found[family] = str(folder), model
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_embeds_each_clip_as_if_alone(folders, family):
    path, _ = folders[family]
    model = opening.open_model(path)
    embedding = model.embed(clips())
    assert embedding.shape == (3, 32) and embedding.dtype == np.float32
    assert np.isfinite(embedding).all() and embedding.std(axis=0).max() > 0
    assert model.sample_rate == 16000
    alone = np.concatenate([model.embed(clip[None]) for clip in clips()])
    np.testing.assert_allclose(embedding, alone, atol=1e-5)
    np.testing.assert_array_equal(
        opening.open_model(f"hf:{path}").embed(clips()), embedding
    )


@pytest.mark.parametrize("family", ["Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio"])
def test_waveform_models_see_normalised_audio_and_are_averaged(folders, family):
    path, reference = folders[family]
    waveform = clips()
    normalized = waveform - waveform.mean(axis=1, keepdims=True)
    normalized /= np.sqrt(waveform.var(axis=1, keepdims=True) + 1e-7)
    with torch.no_grad():
        output = reference(torch.from_numpy(normalized), output_hidden_states=True)
    frames = output.last_hidden_state.numpy()
    assert frames.shape[1] > 200
    np.testing.assert_allclose(
        opening.open_model(path).embed(waveform), frames.mean(axis=1), atol=1e-4
    )
    np.testing.assert_allclose(
        opening.open_model(path, "mean+max").embed(waveform),
        frames.mean(axis=1) + frames.max(axis=1),
        atol=1e-4,
    )
    first, last = (output.hidden_states[layer].mean(1).numpy() for layer in (0, 2))
    np.testing.assert_allclose(
        opening.open_model(path, layers=["0", "2"]).embed(waveform),
        np.concatenate([first, last], axis=1),
        atol=1e-4,
    )


def test_the_feature_extractor_of_the_folder_counts(folders, tmp_path):
    path, reference = folders["Wav2Vec2"]
    reference.save_pretrained(tmp_path)
    extractor = transformers.Wav2Vec2FeatureExtractor(
        sampling_rate=8000, do_normalize=False
    )
    extractor.save_pretrained(tmp_path)
    model = opening.open_model(str(tmp_path))
    assert model.sample_rate == 8000
    with torch.no_grad():
        frames = reference(torch.from_numpy(clips())).last_hidden_state.numpy()
    np.testing.assert_allclose(model.embed(clips()), frames.mean(axis=1), atol=1e-4)
    assert model.fingerprint != opening.open_model(path).fingerprint


def test_ast_gives_its_clip_vector_or_its_patches(folders):
    path, reference = folders["AST"]
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=100)
    waveform = clips(num_samples=16000)
    prepared = extractor(list(waveform), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        output = reference(**prepared)
    np.testing.assert_allclose(
        opening.open_model(path).embed(waveform),
        output.pooler_output.numpy(),
        atol=1e-4,
    )
    # every patch has the same weight: 2 of frequency, 9 of time
    patches = output.last_hidden_state[:, 2:].numpy()
    assert patches.shape[1] == 18
    np.testing.assert_allclose(
        opening.open_model(path, "mean").embed(waveform),
        patches.mean(axis=1),
        atol=1e-4,
    )
    times = patches.reshape(3, 2, 9, 32).mean(axis=1)
    np.testing.assert_allclose(
        opening.open_model(path, "max").embed(waveform), times.max(axis=1), atol=1e-4
    )


def test_whisper_leaves_out_what_fills_its_window(folders):
    path, reference = folders["Whisper"]
    extractor = transformers.WhisperFeatureExtractor(chunk_length=1)
    waveform = clips(num_samples=24000)  # a window and a half
    frames = []
    for piece in (waveform[:, :16000], waveform[:, 16000:]):
        prepared = extractor(list(piece), sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            output = reference.get_encoder()(prepared.input_features)
        frames.append(output.last_hidden_state.numpy())
    expected = np.concatenate([frames[0], frames[1][:, :25]], axis=1).mean(axis=1)
    embedding = opening.open_model(path).embed(waveform)
    np.testing.assert_allclose(embedding, expected, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_length(folders, family):
    model = opening.open_model(folders[family][0])
    for num_samples in (1, 300, 16001):
        embedding = model.embed(clips(2, num_samples))
        assert embedding.shape == (2, 32) and np.isfinite(embedding).all()


def test_bad_folders_and_layers(folders, tmp_path):
    path, _ = folders["Hubert"]
    with pytest.raises(UserError, match="numbers of hidden states, 0 to 2, or all"):
        opening.open_model(path, layers=["3"])
    with pytest.raises(UserError, match="a local folder with config.json"):
        opening.open_model("hf:facebook/wav2vec2-base")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="a folder that transformers opens"):
        opening.open_model(str(tmp_path))
    text = transformers.BertConfig(**SIZES, vocab_size=50)
    transformers.BertModel(text).save_pretrained(tmp_path / "text")
    with pytest.raises(UserError, match="must take waveforms, or be AST or Whisper"):
        opening.open_model(str(tmp_path / "text"))
