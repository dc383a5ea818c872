"""boto 2, as its documentation uploads one large file: ConcurrentUploader with four threads."""
from __future__ import print_function

import sys

from boto.glacier.concurrent import ConcurrentUploader

from here import ENDPOINT, connection

layer1 = connection(ENDPOINT.hostname)
uploader = ConcurrentUploader(layer1, "v", part_size=8 * 1024 * 1024, num_threads=4)
print(uploader.upload(sys.argv[1], "large file"))
