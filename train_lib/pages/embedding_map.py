"""Embeddings on a plane."""

import numpy as np

MAX_CLIPS = 1000


def project(embeddings: np.ndarray) -> np.ndarray:
    """Lays embeddings out on a plane so that neighbours stay neighbours.

    Whitened principal components of the embeddings' directions, then t-SNE:
    without whitening, loudness and pitch hide everything else.

    Args:
        embeddings: [clips, d].

    Returns:
        [clips, 2]; principal components when there are too few for t-SNE,
        zeros when all embeddings are the same.
    """
    import threadpoolctl
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import normalize

    directions = normalize(np.asarray(embeddings, np.float64))
    clips, dimensions = directions.shape
    # fewer clips cannot tell as many directions from noise
    components = max(2, min(50, clips // 16, dimensions))
    if clips < 3 or not np.ptp(directions, axis=0).any():
        return np.zeros((clips, 2))
    reduced = PCA(components, whiten=True, random_state=0).fit_transform(directions)
    if clips < 20:
        return reduced[:, :2]
    perplexity = min(20.0, clips / 4)
    method = TSNE(perplexity=perplexity, init="pca", random_state=0)
    # its threads wait for each other in a loop: on a busy machine one is faster
    with threadpoolctl.threadpool_limits(1):
        return method.fit_transform(reduced)


def of_clips(features: np.ndarray, crops: np.ndarray, labels: np.ndarray) -> dict:
    """Lays the clips of a task out, small enough for its result.

    Args:
        features: float32 [crops, d]; may be a file, of which only
            the shown rows are read.
        crops: int [clips], the row that stands for each clip.
        labels: int [clips].

    Returns:
        JSON-ready: `points`, [x, y] a clip, and `labels`; of `MAX_CLIPS` clips
        chosen at random where there are more.
    """
    clips = np.sort(np.random.default_rng(0).permutation(len(labels))[:MAX_CLIPS])
    points = project(features[crops[clips]])
    points = points / (np.abs(points).max() or 1.0)
    return {
        "points": points.astype(float).round(3).tolist(),
        "labels": np.asarray(labels)[clips].tolist(),
    }
