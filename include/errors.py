"""Every error that we raise on purpose. Each message names the bad value and the cure.

CatError                    trying again without a change will not help
├── BadSetting              a setting has a value that cannot work
├── BaseDataMissing         a base source cannot be read where the settings say it is
├── OtherBaseSet            the lake belongs to another base set
├── NotAPhoto               bytes that do not decode to a usable picture; has a short ``reason``
├── BadRecord               an upload's record, feedback or review does not follow its contract
├── LakeError
│   ├── ObjectNotFound      no object under this key
│   ├── PreconditionFailed  write-if-absent met an object
│   └── InvalidKey          a key that no store could hold
├── DatasetError            a dataset version is missing, empty, or does not rebuild to its digest
│   └── ValidationFailed    the photos are not as they should be; nothing is trained on them
├── ModelError              a model version is missing, damaged, or of an unknown contract
├── BackboneError           the weights that transfer begins with are missing, do not fit, or cannot be downloaded
├── TuningError         a search for hyperparameters came to nothing
├── AttemptSuperseded       another process has taken over this training; its result counts
├── ServerError             the model server does not answer, or answers that it cannot
│   └── NoModelYet          it is up and waits for the first champion
└── StackError              the local stack cannot start or has stopped
"""


class CatError(Exception):
    """Root of the tree. Faults of networks and machines are not ours: they rise as they are and are retried."""


class BadSetting(CatError): ...


class BaseDataMissing(CatError): ...


class OtherBaseSet(CatError): ...


class NotAPhoto(CatError):
    """``reason`` is one of the short names in ``include.images.decoding``; the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadRecord(CatError): ...


class LakeError(CatError): ...


class ObjectNotFound(LakeError): ...


class PreconditionFailed(LakeError): ...


class InvalidKey(LakeError): ...


class DatasetError(CatError): ...


class ValidationFailed(DatasetError): ...


class ModelError(CatError): ...


class BackboneError(CatError): ...


class TuningError(CatError): ...


class AttemptSuperseded(CatError): ...


class ServerError(CatError): ...


class NoModelYet(ServerError): ...


class StackError(CatError): ...
