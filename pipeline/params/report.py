"""Section of the report."""

from pipeline.params.section import NonNegativeFloat, NonNegativeInt, PositiveInt, Section


class ReportParams(Section):
    """How much the page shows; together the values bound its size, whatever the number of images."""

    sheet_pixels: PositiveInt  # longer side of a sheet or of a grid of samples
    thumbnail_pixels: PositiveInt  # longer side of the picture of a dropped input
    dropped_shown: NonNegativeInt  # of each reason in each stage
    faces_compared: NonNegativeInt  # before and after; at most superres.previews
    samples_shown: NonNegativeInt  # grids of a run, spread over it
    video_mib: NonNegativeFloat  # larger videos are linked instead of embedded
