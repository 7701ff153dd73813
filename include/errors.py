"""Every error that we raise on purpose. A message names the bad value and the cure.

CatError
├── InputError              a retry without a change cannot help; a task that meets one ends at once
│   ├── BadSetting          a setting has a name or a value that cannot work
│   ├── BadParam            a param of a run has a name or a value that cannot work
│   ├── Unusable            the lake or the registry cannot be used as the settings name it
│   ├── BaseDataMissing     a base source cannot be read where the settings say it is
│   ├── OtherLake           the lake belongs to another base set or another question
│   ├── CannotFollow        the lake does not follow the folder: too much is gone, or a later run has read it
│   ├── UnsafeStore         the lake's store does not keep what is created once
│   ├── NotAPhoto           bytes that do not decode to a usable picture; has a short ``reason``
│   ├── BadRecord           an upload's record, feedback or review breaks its contract
│   ├── ObjectNotFound      no object under this key
│   ├── PreconditionFailed  write-if-absent met an object
│   ├── InvalidKey          a key that no store can hold
│   ├── DatasetError        a dataset version is missing, empty, or does not rebuild to its digest
│   │   └── ValidationFailed  the photos fail the data checks; nothing is trained on them
│   ├── ModelError          a model version is missing, damaged, or of an unknown contract
│   ├── BackboneError       the backbone's weights are missing, damaged, or not the pinned ones
│   ├── TuningError         a trial of the hyperparameter search has no finite loss
│   ├── TrainingDiverged    the loss of an epoch is not finite
│   └── AttemptSuperseded   another process has taken over this training; its result counts
└── TransientError          network or machine; a retry may help
    ├── PhotoMissing        a photo that was listed is not in the lake now
    ├── ServerError         the model server does not answer, or answers with an error
    │   ├── NoModelYet      it is up and waits for its first champion
    │   ├── ServerStarting  it is up and loads its model
    │   └── ServerBusy      it has more requests than it can take
    ├── DecodersBusy        more photos wait to be decoded than may wait
    ├── DecoderFailed       the process that decodes photos cannot do it on this machine
    ├── NotDeployed         the model server did not serve a promoted version; the alias is back
    ├── ChecksCrashed       the process that runs Deepchecks ended without a result: counts as a failed check
    └── StackError          the local stack cannot start, or has stopped

Errors of libraries (OSError, MlflowException, botocore's, ...) rise as they are and are retried, but for those that say
that something does not exist or is damaged: these become one of the InputErrors above.
"""


class CatError(Exception):
    """Root of the tree."""


class InputError(CatError):
    """The input is wrong, and stays wrong until somebody changes it."""


class TransientError(CatError):
    """The network or a machine is at fault."""


class BadSetting(InputError): ...


class BadParam(InputError): ...


class Unusable(InputError): ...


class BaseDataMissing(InputError): ...


class OtherLake(InputError): ...


class CannotFollow(InputError): ...


class UnsafeStore(InputError): ...


class NotAPhoto(InputError):
    """``reason`` is one of the short names in ``include.images.decoding``; the message is for people.

    ``pixels`` is what the file declares, where that is known.
    """

    def __init__(self, reason: str, message: str, *, pixels: int = 0) -> None:
        super().__init__(message)
        self.reason, self.pixels = reason, pixels


class BadRecord(InputError): ...


class ObjectNotFound(InputError): ...


class PreconditionFailed(InputError): ...


class InvalidKey(InputError): ...


class DatasetError(InputError): ...


class ValidationFailed(DatasetError): ...


class ModelError(InputError): ...


class BackboneError(InputError): ...


class TuningError(InputError): ...


class TrainingDiverged(InputError): ...


class AttemptSuperseded(InputError): ...


class PhotoMissing(TransientError): ...


class ServerError(TransientError): ...


class NoModelYet(ServerError): ...


class ServerStarting(ServerError): ...


class ServerBusy(ServerError): ...


class DecodersBusy(TransientError): ...


class DecoderFailed(TransientError): ...


class NotDeployed(TransientError): ...


class ChecksCrashed(TransientError): ...


class StackError(TransientError): ...
