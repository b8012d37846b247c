"""Files of sound that the tests write."""

import csv
import os

import numpy as np
import soundfile


def write_folder(folder, count=10, rates=(16000,), seconds=1.2, seed=0):
    """Writes noisy tones as 16-bit WAV; returns the folder as text."""
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        rate = rates[index % len(rates)]
        time = np.arange(int(rate * seconds)) / rate
        tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * time)
        tone *= rng.uniform(0.1, 0.8)
        noise = rng.normal(0, 0.02, len(time))
        soundfile.write(
            os.path.join(folder, f"tone_{index:03d}.wav"), tone + noise, rate, "PCM_16"
        )
    return str(folder)


def write_task(folder):
    """Writes twelve tones of a second and `task.csv`: two classes, three parts."""
    write_folder(folder, 12, seconds=1.0)
    with open(os.path.join(folder, "task.csv"), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label", "split"])
        for index in range(12):
            part = ("train", "train", "train", "valid", "valid", "test")[index // 2]
            writer.writerow([f"tone_{index:03d}.wav", "ab"[index % 2], part])
