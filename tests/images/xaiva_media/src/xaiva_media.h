#ifndef XAIVA_MEDIA_H
#define XAIVA_MEDIA_H

/* The version of the FFmpeg it is linked to. */
const char *xaiva_media_ffmpeg_version(void);

/* How many video packets a file holds; negative when it cannot be read. */
int xaiva_media_count_packets(const char *path);

#endif
