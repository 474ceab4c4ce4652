"""Files on the disk to arrays and back: images, their headers, landmarks; each format in one place."""
