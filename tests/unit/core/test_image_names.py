"""The frames of a folder of images are the same for everybody, in the same order."""

from shoal_core.image_names import frame_names


def test_digits_count_by_value_and_letters_regardless_of_case() -> None:
    names = ["img10.png", "IMG2.PNG", "img1.jpeg", "a.TIFF", "img02.bmp"]
    assert frame_names(names) == ["a.TIFF", "img1.jpeg", "img02.bmp", "IMG2.PNG", "img10.png"]


def test_order_does_not_depend_on_how_the_folder_lists_its_files() -> None:
    names = ["b1.png", "B1.png", "b01.png", "b1.jpg"]
    assert frame_names(names) == frame_names(reversed(names))


def test_other_and_hidden_files_are_no_frames() -> None:
    assert frame_names([".img1.png", "notes.txt", "img1", "Thumbs.db"]) == []
