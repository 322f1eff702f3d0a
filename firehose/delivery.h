#pragma once

// A frame on its way from the stream to a worker: the bytes and what they say, moved together because the
// second views the first. Recycled.

#include "base/recycler.h"
#include "firehose/frame.h"
#include "firehose/frame_buffer.h"

namespace penstock::firehose {

struct Delivery {
  FrameBuffer buffer;
  Frame frame;  // views into `buffer`

  void Clear() {
    frame.Clear();
    buffer = FrameBuffer();  // back to its pool
  }
};

using DeliveryRecycler = Recycler<Delivery>;
using DeliveryPtr = DeliveryRecycler::Ptr;

}  // namespace penstock::firehose
