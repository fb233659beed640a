"""What takes longer than a call: submissions, a cashier's cases, reviews."""

from collections.abc import Mapping

from persistence.errors.roots import NotFound, StakeholdError


class SubmissionNotFound(NotFound):
    """The source has submitted nothing under this id."""

    def __init__(self, submission_id: str) -> None:
        super().__init__(f"submission {submission_id} is not known")
        self.submission_id = submission_id

    def metadata(self) -> Mapping[str, str]:
        return {"submission_id": self.submission_id}


class SubmissionIdConflict(StakeholdError):
    """The source has submitted other commands under this id."""

    def __init__(self, submission_id: str) -> None:
        super().__init__(f"submission {submission_id} was accepted with other commands")
        self.submission_id = submission_id

    def metadata(self) -> Mapping[str, str]:
        return {"submission_id": self.submission_id}


class CaseNotFound(NotFound):
    """The cashier has no case of that name."""

    def __init__(self, case_kind: str, case_id: str) -> None:
        super().__init__(f"there is no {case_kind} {case_id}")
        self.case_kind = case_kind
        self.case_id = case_id

    def metadata(self) -> Mapping[str, str]:
        return {"case_kind": self.case_kind, "case_id": self.case_id}


class InvalidTransition(StakeholdError):
    """A cashier's case does not allow the message in its state, or the message contradicts what is known."""

    def __init__(self, case_kind: str, case_id: str, *, state: str, message: str) -> None:
        super().__init__(f'{case_kind} {case_id} is {state}, and does not allow "{message}" as it was said')
        self.case_kind = case_kind
        self.case_id = case_id
        self.state = state
        self.message = message

    def metadata(self) -> Mapping[str, str]:
        case = {"case_kind": self.case_kind, "case_id": self.case_id}
        return {**case, "state": self.state, "message": self.message}


class CaseIdConflict(StakeholdError):
    """The id is another deposit's, withdrawal's or correction's."""

    def __init__(self, case_kind: str, case_id: str) -> None:
        super().__init__(f"{case_kind} {case_id} was opened with another content")
        self.case_kind = case_kind
        self.case_id = case_id

    def metadata(self) -> Mapping[str, str]:
        return {"case_kind": self.case_kind, "case_id": self.case_id}


class ApprovalBySamePerson(StakeholdError):
    """Who asked for it, or approved it already, may not approve it."""

    def __init__(self, case_kind: str, case_id: str, person: str) -> None:
        super().__init__(f"{case_kind} {case_id} takes the approval of somebody else than {person}")
        self.case_kind = case_kind
        self.case_id = case_id
        self.person = person

    def metadata(self) -> Mapping[str, str]:
        return {"case_kind": self.case_kind, "case_id": self.case_id, "person": self.person}


class ReviewNotFound(NotFound):
    """There is no review of that id."""

    def __init__(self, review_id: int) -> None:
        super().__init__(f"there is no review {review_id}")
        self.review_id = review_id

    def metadata(self) -> Mapping[str, str]:
        return {"review_id": str(self.review_id)}


class ReviewResolved(StakeholdError):
    """The review was resolved by somebody else, or with other words."""

    def __init__(self, review_id: int, resolved_by: str) -> None:
        super().__init__(f"review {review_id} was resolved by {resolved_by} already")
        self.review_id = review_id
        self.resolved_by = resolved_by

    def metadata(self) -> Mapping[str, str]:
        return {"review_id": str(self.review_id), "resolved_by": self.resolved_by}
