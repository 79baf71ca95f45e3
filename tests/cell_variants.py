"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "dnc(slots=5,width=3,reads=2,controller=5,strength=softplus,squash=True)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "mann(slots=6,width=3,heads=2,controller=5,gate=learned,least_used=own)",
    "ntm(slots=6,width=3,controller=5,reads=2,writes=2,clip=0.5,read_from=old)",
    "rnn(nonlinearity=relu)",
    "stack_rnn(width=3,depth=4,noop=False,recurrent=False,bias=False,squash=False)",
    "tape_rnn(tapes=2,cells=9,jump=3,mlp_layers=0,nonlinearity=tanh)",
]
