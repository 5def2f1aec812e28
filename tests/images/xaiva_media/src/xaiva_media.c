#include "xaiva_media.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>

const char *xaiva_media_ffmpeg_version(void) { return av_version_info(); }

int xaiva_media_count_packets(const char *path)
{
    AVFormatContext *input = NULL;
    if (avformat_open_input(&input, path, NULL, NULL) < 0)
        return -1;
    int count = -1;
    AVPacket *packet = av_packet_alloc();
    if (packet && avformat_find_stream_info(input, NULL) >= 0) {
        int video = av_find_best_stream(input, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
        for (count = 0; av_read_frame(input, packet) >= 0; av_packet_unref(packet))
            if (packet->stream_index == video)
                count++;
    }
    av_packet_free(&packet);
    avformat_close_input(&input);
    return count;
}
