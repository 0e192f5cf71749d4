/* lease.pml - the lease as in sidecar/lease/{seeking,holding,steps}.c, for Spin (tests/model/run).
 *
 * N nodes, one register, a shim and an agent for each node. Proved over every interleaving:
 *   G1  a write takes effect only if its writer holds the register's epoch, or takes the next one;
 *   G2  no agent starts while another one runs;
 *   P1  when the faults end, within CALM ticks an agent runs under a node that holds (-DPROGRESS);
 *   P2  from then on no holder is fenced (-DPROGRESS).
 * With one of the NO_ switches a rule is left out, and Spin must find the error.
 *
 * Time is a tick. A term is TTL ticks, a kill takes KILL = MARGIN ticks after the deadline, a clock
 * may miss one tick in each TTL ticks (hence one more tick to wait: in the code 1% and a round
 * trip). Between two ticks anything happens in any order, and ticks do not wait for a sidecar: so
 * every step may be late by any time, which is a slow network, a call that times out, SIGSTOP of the
 * sidecar. Only the shim is punctual: its deadline is counted by the tick itself. A node that
 * is stopped as a whole runs no agent while it is stopped; what an agent does in the instant of
 * waking, before its shim is scheduled, is not in the model (tests/chaos measures it).
 *
 * A version is one bit: is it still the register's? Versions never return, so a stale one can only
 * lose, whichever it is. A nonce is one bit as well: the register holds a process's open write or
 * the one before. Epochs end at EPOCHS while there are faults: what follows has the same shape.
 * Requests and replies may be lost, and late: a request that its sender has given up on stays on its
 * way, also when its sender is dead. A second delivery of a write that took effect has a stale
 * version and is left out. A sidecar may die at any step; its agent lives on to the deadline (in
 * truth its shim kills it at once); a new process on that node has a new instance. What a holder
 * reads back is received later; what a standby reads is received at once, as later only lengthens
 * its wait, and the shim's ACK as well, as a sidecar that has none yet may as well stand still.
 *
 * Not here: heads and their sequence, records that do not verify, a register that is emptied or set
 * back, refusals (DENIED), the order of commits in a queue, more than two nodes. Those are in the
 * simulation of the real code (sidecar/simulate) and in the rooms' own tests. */

#ifndef N
#define N 2
#endif
#ifndef TTL
#define TTL 3
#endif
#ifndef FAULTS
#define FAULTS 2 /* of: request lost, reply lost, sidecar dies */
#endif
#ifndef EPOCHS
#define EPOCHS 3
#endif
#define KILL 1
#define CALM (2 * TTL + 4) /* ticks: what was armed before ends, then a whole wait */

#ifdef NO_MARGIN
#define MARGIN 0
#else
#define MARGIN 1
#endif
#ifdef NO_DRIFT
#define WAIT TTL
#else
#define WAIT (TTL + 1)
#endif
#define TERM (TTL - MARGIN)

#define GHOST N /* a process that is gone: nobody's instance */
#define NOBODY 7

mtype = { GONE, SEEKING, TAKING, HELD, RELEASING };
mtype = { NONE, READ, WRITE, WON }; /* the call under way; WON: its reply is on its way */

typedef Record { byte epoch; byte owner; bit nonce; bit released };

typedef Node {
    mtype state = GONE;
    mtype call = NONE;
    bit known;          /* m->version is still the register's; the open write expects it */
    byte wait;          /* SEEKING: until takeover, from the receipt of that version */
    byte epoch;         /* TAKING and later: its own */
    bit open, releases; /* a write of unknown fate; it gives back */
    bit nonce;          /* of the last write */
    bit flies, lags;    /* its last sending is on its way; an earlier one is */
    byte first, last;   /* ticks since its first and its last sending, at most TERM */
    bit fresh;          /* the reply: its version is still the register's */
    bit hit, same;      /* READ: has the open write's instance and nonce; is the known version */
    bit due;            /* the next renewal: a tick has passed since the last one was sent */
    byte deadline;      /* the shim's, in ticks left */
    bit agent
};

Record reg;   /* epoch 0: absent */
Record ghost; /* the last write of a dead process, on its way; owner NOBODY: none */
Node node[N];
byte faults = FAULTS;
byte steady; /* ticks until a clock may miss one again */
#ifdef PROGRESS
bit calm;
byte calm_ticks;
byte dead = NOBODY; /* a node that never comes back */
bit tock;
#else
#define calm false
#define dead NOBODY
#endif

#define me node[i]
#define IS_HOLDER (me.state == HELD || me.state == RELEASING)
#define IS_OVER (IS_HOLDER && me.deadline == 0)
#ifdef NO_TAKEOVER
#define MAY_TAKE (reg.epoch < 1)
#else
#define MAY_TAKE (calm || reg.epoch < EPOCHS)
#endif

inline clear(gone) { gone.epoch = 0; gone.owner = NOBODY; gone.nonce = 0; gone.released = 0 }
inline forget_reply() { me.call = NONE; me.fresh = 0; me.hit = 0; me.same = 0; me.last = 0 }
inline forget_open() { me.open = 0; me.releases = 0; me.flies = 0; me.lags = 0; me.first = 0 }

/* step_send, for the first time or as it was. */
inline send() { me.last = 0; me.flies = 1; me.call = WRITE }
inline write(gives_back)
{
    me.nonce = 1 - me.nonce; me.open = 1; me.releases = gives_back; me.first = 0;
    send()
}

/* LOST, RELEASED, STOPPED, killed: the process is gone. Its record and what it sent are a ghost's,
 * its agent lives on until the deadline at most. */
inline leave()
{
    if
    :: (me.flies || me.lags) && me.known && ghost.owner == NOBODY ->
        ghost.epoch = me.epoch; ghost.owner = GHOST; ghost.released = me.releases
    :: else
    fi;
    if
    :: reg.owner == i -> reg.owner = GHOST; reg.nonce = 0
    :: else
    fi;
    if
    :: !me.agent -> me.deadline = 0
    :: else
    fi;
    forget_open(); forget_reply();
    me.known = 0; me.wait = 0; me.epoch = 0; me.nonce = 0; me.due = 0; me.state = GONE
}

/* FENCE is sent, but what ends the agent for sure is its deadline. */
inline lose()
{
#ifdef PROGRESS
    assert(!calm || calm_ticks < CALM); /* P2 */
#endif
    leave()
}

/* step_won: the lease counts from `past` ticks ago; the shim takes what is later than it has. */
inline won(past)
{
    if
    :: me.releases -> leave()
    :: !me.releases && TERM - past > me.deadline ->
        me.deadline = TERM - past; me.due = (past > 0); me.known = me.fresh; me.state = HELD;
        forget_open(); forget_reply()
    :: else -> lose()
    fi
}

/* taken(): too late to be of use begins again. */
inline seek()
{
    me.state = SEEKING; me.known = 0; me.wait = 0; me.epoch = 0;
    forget_open(); forget_reply()
}
inline taken(ago)
{
    if
    :: ago >= TERM -> seek()
    :: else -> won(ago)
    fi
}

/* seek_found: the wait starts with each version; then take() or wait. */
inline look()
{
    if
    :: !me.known -> me.wait = WAIT; me.known = 1
    :: else
    fi;
    if
    :: (reg.epoch == 0 || reg.released || reg.owner == i || me.wait == 0) && MAY_TAKE ->
        me.epoch = reg.epoch + 1; me.wait = 0; me.state = TAKING;
        write(0)
    :: else
    fi
}

#ifdef NO_NONCE
#define IS_OUR_WRITE true
#else
#define IS_OUR_WRITE me.hit
#endif
#ifdef NO_FIRST /* counts from the call that told */
#define FIRST me.last
#else
#define FIRST me.first
#endif

inline take_found()
{
    if
    :: IS_OUR_WRITE -> taken(FIRST)
    :: !IS_OUR_WRITE && me.same -> forget_reply(); send()
    :: else -> seek()
    fi
}

inline hold_found()
{
    if
    :: IS_OUR_WRITE -> won(FIRST)
    :: !IS_OUR_WRITE && me.same -> forget_reply(); send()
#ifdef NO_EPOCH /* whoever holds: writes on, over the version that it finds */
    :: else -> me.known = me.fresh; forget_reply(); send()
#else
    :: else -> lose() /* also when a successor came after the release: it ends alike */
#endif
    fi
}

/* Takes effect: every version known so far is of the past, and what expects one never wins. */
inline apply(his_epoch, whose, which, gives)
{
    assert(his_epoch == reg.epoch && whose == reg.owner || his_epoch == reg.epoch + 1); /* G1 */
    reg.epoch = his_epoch; reg.owner = whose; reg.nonce = which; reg.released = gives;
    k = 0;
    do
    :: k < N ->
        node[k].fresh = 0; node[k].known = 0;
        node[k].wait = 0; /* starts anew when it is seen */
#ifndef NO_COMPARE
        node[k].lags = 0;
#endif
        k++
    :: else -> break
    od;
    clear(ghost); k = 0
}
#ifdef NO_COMPARE
#define FITS true
#else
#define FITS me.known
#endif
#define APPLY apply(me.epoch, i, me.nonce, me.releases)

#define WANTS_LOOK (me.state == SEEKING && (!me.known || me.wait == 0 && MAY_TAKE))
#define WANTS_READ                                                                                 \
    (me.call == NONE && !IS_OVER && (me.state == TAKING || IS_HOLDER && me.open))
#define WANTS_WRITE (me.call == NONE && !IS_OVER && !me.open)

/* Sidecar, shim and store as they act on node i. */
proctype Actor(byte i)
{
    byte k;
    do
    /* --- life --- */
    :: d_step { me.state == GONE && !me.agent && dead != i -> me.state = SEEKING }
    :: d_step { !calm && faults > 0 && me.state != GONE -> faults--; leave() }
    :: d_step { IS_OVER -> lose() }
    /* --- reads. A standby's is received at once: later only lengthens its wait. --- */
    :: d_step { WANTS_LOOK -> look() }
    :: d_step { WANTS_READ ->
            me.call = READ; me.fresh = 1; me.same = me.known;
            me.hit = (reg.owner == i && reg.epoch == me.epoch && reg.nonce == me.nonce) }
    :: d_step { me.call == READ && me.state == TAKING -> take_found() }
    :: d_step { me.call == READ && IS_HOLDER && !IS_OVER -> hold_found() }
    /* --- writes: a renewal from a third of the ttl on; a commit is one --- */
    :: d_step { me.state == HELD && WANTS_WRITE && me.due -> write(0) }
    :: d_step { me.state == RELEASING && WANTS_WRITE -> write(1) }
    :: d_step { me.call == WON && me.state == TAKING -> taken(me.last) }
    :: d_step { me.call == WON && IS_HOLDER && !IS_OVER -> won(me.last) }
    /* no answer in time; when all is calm only if none can come */
    :: d_step { me.call == WRITE && !(calm && me.flies) ->
            me.lags = (me.lags || me.flies) && FITS; me.flies = 0; forget_reply() }
    /* --- the store --- */
    :: d_step { me.flies && FITS -> me.flies = 0; APPLY; me.call = WON; me.fresh = 1 }
    :: d_step { me.flies && !FITS -> me.flies = 0; forget_reply() /* conflict */ }
    :: d_step { me.lags && FITS -> me.lags = 0; APPLY }
    :: d_step { me.flies && FITS && !calm && faults > 0 -> faults--; me.flies = 0; APPLY }
    :: d_step { me.flies && !calm && faults > 0 -> faults--; me.flies = 0 }
    /* --- the shim; the agent, which may end by itself --- */
    :: d_step { me.state == HELD && !me.agent && me.deadline > 0 ->
            k = 0;
            do
            :: k < N -> assert(!node[k].agent); k++ /* G2 */
            :: else -> break
            od;
            k = 0; me.agent = 1 }
    :: d_step { !calm && me.state == HELD && me.agent && me.deadline > 0 ->
            me.agent = 0; me.due = 0; me.state = RELEASING }
    od
}

#define DOWN(x) x = (x > 0 -> x - 1 : 0)
#define UP(x) x = (x < TERM -> x + 1 : TERM)

/* One node's clock. */
inline advance(n)
{
    DOWN(n.wait); DOWN(n.deadline);
    n.due = (n.state == HELD);
    if
    :: n.open -> UP(n.first)
    :: else
    fi;
    if
    :: n.call == WRITE || n.call == WON -> UP(n.last)
    :: else
    fi
}

inline tick()
{
    DOWN(steady); k = 0;
    do
    :: k < N ->
        if
        :: node[k].agent && node[k].deadline == 0 -> node[k].agent = 0 /* KILL ticks ago */
        :: else
        fi;
        if
        :: advance(node[k])
        :: !calm && steady == 0 && (node[k].deadline > 0 || node[k].open) ->
            steady = TTL + 1 /* this clock has missed it */
        fi;
        k++
    :: else -> break
    od;
    k = 0
}

proctype Time()
{
    byte k;
    do
    :: atomic { !calm -> tick() }
    :: d_step { ghost.owner != NOBODY -> apply(ghost.epoch, GHOST, 0, ghost.released) }
#ifdef PROGRESS
    :: d_step { !calm -> calm = 1; steady = 0 }
    :: d_step { !calm && node[0].state == GONE -> calm = 1; steady = 0; dead = 0 }
    /* nobody is late any more: time passes when nothing else is left to do */
    :: atomic { calm && timeout ->
            calm_ticks = (calm_ticks < CALM -> calm_ticks + 1 : CALM);
            assert(calm_ticks < CALM || node[0].state == HELD && node[0].agent ||
                   node[1].state == HELD && node[1].agent); /* P1 */
tock = 1 - tock; tick() }
#endif
    od
}

init
{
    atomic {
        byte i = 0;
        clear(reg); clear(ghost);
        do
        :: i < N -> run Actor(i); i++
        :: else -> break
        od;
        i = 0;
        run Time()
    }
}

#ifdef PROGRESS
/* P1 counts ticks: nothing goes round for ever between two of them. */
ltl time_goes_on { [] (calm -> (<> tock && <> !tock)) }
#endif
