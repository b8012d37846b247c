"""The measurement of decoders."""

from train_lib.benchmark import decoding_speed


def test_every_format_has_a_rate():
    decoding = decoding_speed.decode_rates(seconds=0.01)
    loading = decoding_speed.decode_rates(seconds=0.01, sample_rate=16000)
    assert list(decoding) == list(loading)
    assert {"wav16", "flac16", "ogg", "mp3"} <= set(decoding)
    assert min(decoding.values()) > 0 and min(loading.values()) > 0
