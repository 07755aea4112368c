"""Optuna's database, patient: each call waits for one that is away, and happens once, however often it is tried.

A database may do what it is asked and be cut off before it says so. What cannot simply be asked again are a new trial,
a queued trial that is taken up, and a trial that is told: the first two carry a mark that says whose they are.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.tracking.store.patience import patient, patiently
from bench.tuning.compat import TrialModel, TrialSystemAttributeModel

MADE, TAKEN = "bench:made", "bench:taken"
"""System attributes of a trial: marks of the call that made it, and of the one that took it from the queue."""

IDEMPOTENT = (
    "create_new_study",  # the second time it exists already, which Optuna's `load_if_exists` knows how to take
    "get_all_studies",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "get_trial_param",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_system_attr",
    "set_trial_user_attr",
    "_get_best_trial_id",
    "_get_trials",
    "_set_trial_param",
)
"""Methods that need no more than another try. The private ones are called by the cache that Optuna puts in front."""


class PatientStorage(optuna.storages.RDBStorage):
    """Optuna's relational storage, with as much patience as was granted (`bench.tracking.store.patience`)."""

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        template = copy.deepcopy(template_trial) or create_trial(state=TrialState.RUNNING)
        template.system_attrs = {**template.system_attrs, MADE: uuid.uuid4().hex}
        create = super()._create_new_trial
        return patiently(lambda: create(study_id, template))

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> TrialModel:
        """Within the transaction, in which no other trial of the study can be made. Optuna tries five times by itself.

        There is no public hook into it, and from outside one cannot tell what an earlier try has made.
        """
        assert template_trial
        mark = TrialSystemAttributeModel
        made = (
            session.query(TrialModel)
            .join(mark, mark.trial_id == TrialModel.trial_id)
            .filter(TrialModel.study_id == study_id, mark.key == MADE)
            .filter(mark.value_json == f'"{template_trial.system_attrs[MADE]}"')
            .one_or_none()
        )
        return made or super()._get_prepared_new_trial(study_id, template_trial, session)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """False where another worker has taken the trial from the queue."""
        mine = uuid.uuid4().hex
        if state == TrialState.RUNNING:
            self.set_trial_system_attr(trial_id, TAKEN, mine)
        tries = 0
        change = super().set_trial_state_values

        def once() -> bool:
            nonlocal tries
            tries += 1
            try:
                changed = change(trial_id, state, values)
            except UpdateFinishedTrialError:
                if tries == 1 or not state.is_finished():
                    raise
                return True  # the answer to an earlier try was lost
            if changed or tries == 1:
                return changed
            return self.get_trial(trial_id).system_attrs.get(TAKEN) == mine

        return patiently(once)


for name in IDEMPOTENT:
    setattr(PatientStorage, name, patient(getattr(optuna.storages.RDBStorage, name)))
