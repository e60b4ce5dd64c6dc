"""Known sets of pictures: fetched, checked, unpacked safely, laid out as a folder of classes."""
