import numpy as np
import pytest

from serlib import windows


def test_windows_know_their_clip():
    clips = [np.arange(10.0)[None], np.arange(100.0, 103)[None], np.arange(200.0, 205)[None]]
    pieces, clip = windows.cut(clips, length=4, hop=2)
    assert clip.tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert pieces.shape == (7, 1, 4)
    assert pieces[3, 0].tolist() == [6, 7, 8, 9], "the last window of a clip ends with it"
    assert pieces[4, 0].tolist() == [100, 101, 102, 102], "what is missing repeats the last frame"
    assert pieces[6, 0].tolist() == [202, 203, 204, 204]
    assert set(pieces.ravel()) == set(np.concatenate(clips, axis=1).ravel()), "no frame is lost"
    with pytest.raises(ValueError, match="at least 1 frame, not 4 and 0"):
        windows.cut(clips, 4, 0)


def test_sequences_keep_the_order_and_mark_what_is_missing():
    clips = [np.arange(4.0)[None], np.arange(100.0, 108)[None], np.arange(200.0, 205)[None]]
    filled, present = windows.sequences(clips, length=4, hop=2)
    assert filled.shape == (3, 3, 1, 4)
    assert present.tolist() == [[True, False, False], [True, True, True], [True, True, False]]
    assert filled[1, :, 0, 0].tolist() == [100, 102, 104], "the second clip's own, in order"
    assert filled[2, 1, 0].tolist() == [202, 203, 204, 204]
    assert not filled[~present].any()
    np.testing.assert_array_equal(filled[present], windows.cut(clips, 4, 2)[0])
    with pytest.raises(ValueError, match="at least 1 frame, not 4 and 0"):
        windows.sequences(clips, 4, 0)


def test_windows_are_fused_by_clip():
    fused = windows.fuse(np.array([[1, 0], [0, 1], [0.5, 0.5], [0.2, 0.8]]), np.array([0, 0, 0, 4]))
    np.testing.assert_allclose(fused, [[0.5, 0.5], [0.2, 0.8]])
