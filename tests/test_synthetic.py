"""The embedded corpus: the same bytes for everyone, the acoustics it promises, and cues where it says they are."""

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from serlib import synthetic

FEW_WORDS = ("money", "bath")


@pytest.fixture(scope="module")
def clips():
    return {
        (speaker, emotion, word): synthetic.utterance(speaker, emotion, word)
        for speaker in synthetic.SPEAKERS
        for emotion in synthetic.EMOTIONS
        for word in FEW_WORDS
    }


def mean_over_words(clips, measure):
    rows = [(speaker, emotion, measure(clip)) for (speaker, emotion, _), clip in clips.items()]
    return pd.DataFrame(rows, columns=["speaker", "emotion", "value"]).pivot_table("value", "speaker", "emotion")


def test_tables():
    genders = [voice.gender for voice in synthetic.SPEAKERS.values()]
    assert (genders.count("female"), genders.count("male")) == (2, 2)
    assert len(synthetic.EMOTIONS) == 7 and len(synthetic.WORDS) >= 20


def test_a_clip_does_not_depend_on_the_clips_before_it(clips):
    for key in reversed(list(clips)[::17]):
        again = synthetic.utterance(*key)
        assert again.waveform.tobytes() == clips[key].waveform.tobytes()
        assert again.cues == clips[key].cues


def test_seeds_give_other_takes(clips):
    other = synthetic.utterance("F1", "anger", "bath", seed=1)
    assert other.waveform.tobytes() != clips["F1", "anger", "bath"].waveform.tobytes()


def test_waveforms_are_16_bit_and_do_not_clip(clips):
    for clip in clips.values():
        assert clip.waveform.dtype == np.float32 and clip.sr == 16_000
        assert 0.7 * clip.sr < len(clip.waveform) < 2 * clip.sr
        assert 0.005 < np.abs(clip.waveform).max() < 0.99
        np.testing.assert_array_equal(clip.waveform * 32768, np.round(clip.waveform * 32768))


def test_pitch_follows_emotion_and_gender(clips):
    def median_f0(clip):
        f0 = librosa.yin(clip.waveform, fmin=50, fmax=600, sr=clip.sr, frame_length=1024, hop_length=256)
        rms = librosa.feature.rms(y=clip.waveform, frame_length=1024, hop_length=256)[0]
        return np.median(f0[rms > 0.3 * rms.max()])

    f0 = mean_over_words(clips, median_f0)
    for emotion in ("anger", "happiness", "surprise", "fear"):
        assert (f0[emotion] > f0["neutral"]).all(), f0
    assert (f0["neutral"] > f0["sadness"]).all(), f0
    assert (f0.loc[["F1", "F2"]].min() > f0.loc[["M1", "M2"]].max()).all(), f0


def test_loudness_and_tempo_follow_emotion(clips):
    level = mean_over_words(clips, lambda clip: 20 * np.log10(np.percentile(np.abs(clip.waveform), 90)))
    assert (level["anger"] > level["neutral"] + 3).all() and (level["neutral"] > level["sadness"] + 3).all(), level
    duration = mean_over_words(clips, lambda clip: len(clip.waveform))
    assert (duration["sadness"] > duration["neutral"]).all() and (duration["neutral"] > duration["fear"]).all()


def test_cues_lie_inside_the_plane_and_neutral_has_none(clips):
    for (_, emotion, _), clip in clips.items():
        assert bool(clip.cues) == (emotion != "neutral")
        for cue in clip.cues:
            assert 0 <= cue.start < cue.end <= len(clip.waveform) / clip.sr
            assert 0 <= cue.low < cue.high < clip.sr / 2


@pytest.mark.parametrize("cue", ["pitch", "tilt", "jitter", "breath", "loudness"])
def test_boxes_are_where_the_sound_changes_when_the_cue_is_taken_away(clips, cue):
    def spectrogram(clip):
        return librosa.power_to_db(np.abs(librosa.stft(clip.waveform, n_fft=512, hop_length=160)) ** 2, top_db=None)

    n_checked = 0
    for speaker, emotion, word in clips:
        clip = clips[speaker, emotion, word]
        boxes = [box for box in clip.cues if box.cue == cue]
        if not boxes:
            continue
        voice, rng = synthetic.SPEAKERS[speaker], synthetic._generator(speaker, emotion, word, 0)
        shift = synthetic._shifts(voice, emotion, rng) | {cue: 0.0}
        without = synthetic._render(voice, synthetic.WORDS[word], emotion, shift, rng)
        change = np.abs(spectrogram(clip) - spectrogram(without))
        seconds, frequency = np.arange(change.shape[1]) * 0.01, np.fft.rfftfreq(512, 1 / clip.sr)
        inside = np.zeros(change.shape, bool)
        for box in boxes:
            time_inside = (seconds >= box.start) & (seconds <= box.end)
            inside |= ((frequency >= box.low) & (frequency <= box.high))[:, None] & time_inside
        assert inside.mean() < 0.4
        assert change[inside].mean() > 1.3 * change[~inside].mean(), (speaker, emotion, word)
        n_checked += 1
    assert n_checked >= 8


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [(("F9", "anger", "dog"), "M2"), (("F1", "rage", "dog"), "surprise"), (("F1", "anger", "cat"), "coffee")],
)
def test_unknown_names_are_refused(arguments, allowed):
    with pytest.raises(ValueError, match=allowed):
        synthetic.utterance(*arguments)


@pytest.fixture
def small(monkeypatch):
    """Four speakers, two words: enough to test `write`."""
    monkeypatch.setattr(synthetic, "WORDS", {word: synthetic.WORDS[word] for word in ("bath", "dog")})


def test_write_gives_the_same_bytes_twice(tmp_path, small):
    for name in ("a", "b"):
        synthetic.write(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 4 * 7 * 2 + 3
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)

    labels = pd.read_csv(tmp_path / "a" / "labels.csv")
    assert list(labels.columns) == ["path", "speaker", "emotion", "text", "gender"]
    assert labels.groupby(["speaker", "emotion"]).size().eq(2).all() and set(labels.gender) == {"female", "male"}
    cues = pd.read_csv(tmp_path / "a" / "cues.csv")
    assert list(cues.columns) == ["path", "cue", "start", "end", "low", "high"]
    assert set(cues.path) <= set(labels.path)

    row = labels.iloc[5]
    waveform, sr = soundfile.read(tmp_path / "a" / row.path, dtype="float32")
    assert soundfile.info(tmp_path / "a" / row.path).subtype == "PCM_16" and sr == synthetic.SR
    np.testing.assert_array_equal(waveform, synthetic.utterance(row.speaker, row.emotion, row.text).waveform)


def test_write_keeps_its_own_folder_and_refuses_another(tmp_path, small):
    folder = tmp_path / "mini"
    synthetic.write(folder)
    before = (folder / "labels.csv").stat().st_mtime_ns
    synthetic.write(folder)
    assert (folder / "labels.csv").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="mini"):
        synthetic.write(folder, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]  # no temporary folder is left


def test_the_loser_of_a_race_discards_its_copy(tmp_path, small, monkeypatch):
    folder, utterance = tmp_path / "mini", synthetic.utterance

    def overtaken(*arguments, **options):
        monkeypatch.setattr(synthetic, "utterance", utterance)
        synthetic.write(folder)  # another process finishes while this one is at its first clip
        return utterance(*arguments, **options)

    monkeypatch.setattr(synthetic, "utterance", overtaken)
    synthetic.write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]
