"""The checker of types and shapes at run time, for `--jaxtyping-packages`."""

from beartype import BeartypeConf, beartype

check = beartype(
    conf=BeartypeConf(is_pep484_tower=True)
)  # an int will do for a float, as in PEP 484
