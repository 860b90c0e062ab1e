#include "exn_f32.h"

int exn_agrees_f32(const exn_model *model, const uint8_t *arena, uint8_t exit, exn_said *said)
{
    const exn_tolerance_f32 *tolerance = model->policy->tolerance;
    const float *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    float apart = scores[0] > said->real ? scores[0] - said->real : said->real - scores[0];
    said->real = scores[0];
    return exit > 0 && apart < tolerance->eta;
}
