#include "exn.h"

const char *exn_status_text(int status)
{
    switch (status) {
    case EXN_EXIT:
        return "an exit has answered";
    case EXN_ROW:
        return "the next row of the image is wanted";
    case EXN_ERROR_NULL:
        return "an argument is NULL";
    case EXN_ERROR_SIZE:
        return "the arena has fewer bytes than the network needs";
    case EXN_ERROR_ORDER:
        return "called out of turn: each image begins with init";
    case EXN_ERROR_STATE:
        return "the state is not initialised: init was not called, or failed";
    case EXN_ERROR_ALIGNMENT:
        return "the arena does not begin at a multiple of EXN_ALIGN bytes";
    case EXN_ERROR_CAMERA:
        return "the camera's frame, its format and the image do not go together";
    default:
        return "no status of this runtime";
    }
}
