#include "xaiva_media.h"

#include <stdio.h>
#include <string.h>

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "version") == 0) {
        printf("xaiva-media 1.0.0 with FFmpeg %s\n", xaiva_media_ffmpeg_version());
        return 0;
    }
    if (count == 3 && strcmp(words[1], "count") == 0) {
        int packets = xaiva_media_count_packets(words[2]);
        printf("%d\n", packets);
        return packets < 0;
    }
    fprintf(stderr, "usage: xaiva-media version | count FILE\n");
    return 2;
}
