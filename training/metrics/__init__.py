"""Figures that compare generated images with real ones; a figure's name carries its protocol."""


def short_count(count: int) -> str:
    """A count as it stands in a metric's name: 16384 → `16k`, 10000 → `10k`, 256 → `256`.

    Both published habits occur: SWD counts in 1,024 (16,384 images are 16k), FID and MS-SSIM in 1,000.
    Only powers of two and whole thousands are shortened; the report states the exact counts.
    """
    if count >= 1024 and count & (count - 1) == 0:
        return f"{count // 1024}k"
    if count >= 1000 and count % 1000 == 0:
        return f"{count // 1000}k"
    return str(count)
