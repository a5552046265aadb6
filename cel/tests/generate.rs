//! Expressions made from a seed: mostly of one type throughout, now and then not.

/// The same numbers from the same seed.
pub struct Seed(pub u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A type of the language, by the letter that stands for it in [`RULES`].
const TYPES: &[char] = &['i', 'u', 'd', 's', 'b', 'y', 't', 'r', 'l', 'L', 'm', 'x', 'o', 'q', 'p', 'n'];

/// What has no parts.
const LEAVES: &[(char, &[&str])] = &[
    (
        'i',
        &[
            "i",
            "0",
            "1",
            "-1",
            "7",
            "42",
            "9223372036854775807",
            "-9223372036854775808",
            "0x1f",
            "pod.replicas",
            "m.one",
        ],
    ),
    ('u', &["u", "0u", "1u", "18446744073709551615u", "7u"]),
    ('d', &["d", "0.0", "1.5", "-2.25", "1e10", "1e300", "0.1"]),
    (
        's',
        &[
            "s",
            "''",
            "'a'",
            "'hello'",
            "'ü😀'",
            "'a,b,c'",
            "'1.2.3'",
            "'10Mi'",
            "'1h'",
            "pod.name",
            "dotted.name",
            "'2024-01-01T00:00:00Z'",
        ],
    ),
    ('b', &["b", "true", "false", "has(pod.namespace)", "has(m.one)", "has(x.missing)"]),
    ('y', &["bs", "b''", "b'abc'", "b'\\xff'"]),
    ('t', &["ts", "timestamp(0)", "timestamp('2020-06-15T23:59:59.5Z')", "timestamp('9999-12-31T23:59:59Z')"]),
    ('r', &["du", "duration('1h')", "duration('-1.5s')", "duration('0')"]),
    ('l', &["l", "[]", "[1, 2, 3]", "[1]", "[3, 3, 1]", "[1, 2, 2]"]),
    ('L', &["ls", "['a', 'b']", "['x']", "['b', 'a', 'b']"]),
    ('m', &["m", "{'a': 1}", "{'one': 1, 'b': 2}"]),
    (
        'x',
        &["x", "x.n", "x.s", "x.l", "x.z", "x.l[0]", "x.l[1]", "dyn(1)", "dyn('a')", "dyn([1])", "dyn(1.5)", "dyn(2u)"],
    ),
    ('o', &["optional.none()", "optional.of(1)", "m.?one", "m[?'three']", "l[?0]", "l[?9]"]),
    ('q', &["quantity('1')", "quantity('1.5Gi')", "quantity('100m')", "quantity('5k')"]),
    ('p', &["ip('1.2.3.4')", "ip('::1')", "cidr('10.0.0.0/8').ip()"]),
    ('n', &["cidr('10.0.0.0/8')", "cidr('::/0')", "cidr('1.2.3.4/30')"]),
];

/// How a type is made of others; `{i}` is an expression of type `i`. `V` is a fresh variable of a walk.
const RULES: &[(char, &[&str])] = &[
    (
        'i',
        &[
            "{i} + {i}",
            "{i} - {i}",
            "{i} * {i}",
            "{i} / {i}",
            "{i} % {i}",
            "-({i})",
            "size({s})",
            "{l}.size()",
            "size({m})",
            "{b} ? {i} : {i}",
            "({l})[{i}]",
            "({m})[{s}]",
            "int({s})",
            "int({d})",
            "int({u})",
            "int({t})",
            "int({r})",
            "{l}.sum()",
            "{l}.max()",
            "{l}.min()",
            "{s}.indexOf({s})",
            "{s}.lastIndexOf({s})",
            "{o}.orValue({i})",
            "{o}.value()",
            "{t}.getHours()",
            "{t}.getDayOfYear()",
            "{r}.getMinutes()",
            "{L}.size()",
            "{l}.indexOf({i})",
            "{p}.family()",
            "{n}.prefixLength()",
            "{q}.asInteger()",
            "{q}.compareTo({q})",
            "({x})",
            "{s}.indexOf({s}, {i})",
            "{l}.lastIndexOf({i})",
            "sign({q})",
            "semver({s}).major()",
            "{y}.size()",
        ],
    ),
    ('u', &["{u} + {u}", "{u} - {u}", "{u} * {u}", "{u} / {u}", "{u} % {u}", "uint({i})", "uint({d})", "uint({s})"]),
    (
        'd',
        &[
            "{d} + {d}",
            "{d} - {d}",
            "{d} * {d}",
            "{d} / {d}",
            "-({d})",
            "double({i})",
            "double({s})",
            "{q}.asApproximateFloat()",
        ],
    ),
    (
        's',
        &[
            "{s} + {s}",
            "string({i})",
            "string({d})",
            "string({b})",
            "string({u})",
            "string({t})",
            "string({r})",
            "string({y})",
            "{s}.lowerAscii()",
            "{s}.upperAscii()",
            "{s}.trim()",
            "{s}.substring({i})",
            "{s}.substring({i}, {i})",
            "{s}.charAt({i})",
            "{s}.replace({s}, {s})",
            "{s}.replace({s}, {s}, {i})",
            "{L}.join({s})",
            "{L}.join()",
            "({L})[{i}]",
            "{b} ? {s} : {s}",
            "{s}.find('[a-z]+')",
            "'%s %d'.format([{s}, {i}])",
            "'%s'.format([{x}])",
            "strings.quote({s})",
            "'%.2f'.format([{d}])",
            "'%x %b %o'.format([{i}, {i}, {u}])",
            "'%s'.format([{l}])",
            "string({p})",
            "string({n}.masked())",
        ],
    ),
    (
        'b',
        &[
            "{b} && {b}",
            "{b} || {b}",
            "!({b})",
            "{i} == {i}",
            "{i} < {i}",
            "{i} >= {u}",
            "{u} < {d}",
            "{d} == {d}",
            "{s} == {s}",
            "{s} < {s}",
            "{l} == {l}",
            "{L} != {L}",
            "{m} == {m}",
            "{i} in {l}",
            "{s} in {L}",
            "{s} in {m}",
            "{s}.contains({s})",
            "{s}.startsWith({s})",
            "{s}.endsWith({s})",
            "{s}.matches('^[a-z]+$')",
            "{l}.all(V, V > {i})",
            "{l}.exists(V, V == {i})",
            "{L}.all(V, V.size() < {i})",
            "{l}.exists_one(V, V > {i})",
            "{t} < {t}",
            "{r} >= {r}",
            "{x} == {x}",
            "{x} == {i}",
            "{b} ? {b} : {b}",
            "{l}.isSorted()",
            "sets.contains({l}, {l})",
            "sets.intersects({L}, {L})",
            "sets.equivalent({l}, {l})",
            "{o}.hasValue()",
            "{q}.isGreaterThan({q})",
            "{q} == {q}",
            "isQuantity({s})",
            "isIP({s})",
            "isURL({s})",
            "isSemver({s}, {b})",
            "{p} == {p}",
            "{n}.containsIP({p})",
            "{n}.containsCIDR({n})",
            "{n}.containsIP({s})",
            "{p}.isLoopback()",
            "{p}.isGlobalUnicast()",
            "pod.containers.all(V, V.name < {s})",
            "pod.containers.exists(V, has(V.privileged) && {b})",
            "{l}.all(V, W, V < W)",
            "{m}.transformList(V, W, W).size() > {i}",
            "{y} == {y}",
            "{x} in {l}",
            "{q}.isInteger()",
            "cel.foo({i})",
            "{L}.exists(V, V.matches({s}))",
            "format.dns1123Label().validate({s}).hasValue()",
        ],
    ),
    ('y', &["bytes({s})", "{y} + {y}"]),
    ('t', &["{t} + {r}", "{t} - {r}", "{r} + {t}", "timestamp({i})", "timestamp({s})"]),
    ('r', &["{r} + {r}", "{r} - {r}", "{t} - {t}", "duration({s})", "-({r})"]),
    (
        'l',
        &[
            "[{i}, {i}]",
            "{l} + {l}",
            "{l}.map(V, V * {i})",
            "{l}.filter(V, V > {i})",
            "{l}.map(V, V > {i}, V + 1)",
            "{L}.map(V, V.size())",
            "{b} ? {l} : {l}",
            "{l}.reverse()",
            "{l}.sort()",
            "{l}.distinct()",
            "{l}.slice({i}, {i})",
            "lists.range({i})",
            "{l}.transformList(V, W, V + W)",
            "[{l}, {l}].flatten()",
            "[?{o}, {i}]",
            "{l}.sortBy(V, -V)",
        ],
    ),
    (
        'L',
        &[
            "[{s}, {s}]",
            "{L} + {L}",
            "{s}.split({s})",
            "{s}.split({s}, {i})",
            "{L}.filter(V, V != {s})",
            "{L}.map(V, V + {s})",
            "{L}.sort()",
            "{L}.distinct()",
            "{s}.findAll('[a-z]')",
            "pod.containers.map(V, V.image)",
        ],
    ),
    ('m', &["{{s}: {i}}", "{l}.transformMap(V, W, W).size() == 0 ? m : m", "{b} ? {m} : {m}", "{?{s}: {o}}"]),
    (
        'x',
        &[
            "dyn({i})",
            "dyn({s})",
            "dyn({l})",
            "dyn({m})",
            "{x}.n",
            "({x})[{i}]",
            "({x})[{s}]",
            "{b} ? dyn({i}) : dyn({s})",
            "{x} + {x}",
        ],
    ),
    (
        'o',
        &[
            "optional.of({i})",
            "optional.ofNonZeroValue({i})",
            "({m})[?{s}]",
            "({l})[?{i}]",
            "{o}.or({o})",
            "{o}.optMap(V, V + 1)",
            "{o}.optFlatMap(V, optional.of(V * 2))",
            "{l}.first()",
            "{l}.last()",
        ],
    ),
    ('q', &["quantity({s})", "{q}.add({q})", "{q}.sub({q})", "{q}.add({i})"]),
    ('p', &["ip({s})", "{n}.ip()"]),
    ('n', &["cidr({s})", "{n}.masked()"]),
];

fn rows(table: &[(char, &'static [&'static str])], wanted: char) -> &'static [&'static str] {
    table.iter().find(|(t, _)| *t == wanted).map_or(&[], |(_, rows)| rows)
}

/// An expression of some type.
pub fn expression(seed: &mut Seed) -> String {
    let t = TYPES[seed.below(TYPES.len())];
    let depth = 1 + seed.below(4);
    let mut walks = 0;
    of_type(seed, t, depth, &mut walks)
}

fn of_type(seed: &mut Seed, mut t: char, depth: usize, walks: &mut usize) -> String {
    if seed.below(60) == 0 {
        t = TYPES[seed.below(TYPES.len())];
    }
    if depth == 0 {
        return seed.one_of(rows(LEAVES, t)).to_owned();
    }
    let rule = seed.one_of(rows(RULES, t));
    let first = *walks;
    let names = rule.matches('V').count().min(1) + rule.matches('W').count().min(1);
    *walks += names;
    let mut out = String::new();
    let mut chars = rule.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.peek().is_some_and(|next| TYPES.contains(next)) => {
                let part = chars.next().unwrap_or('i');
                // The brace behind it, unless the rule is a map's that has its own.
                chars.next();
                let inner = of_type(seed, part, depth - 1, walks);
                let is_plain = inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
                if is_plain { out.push_str(&inner) } else { out.push_str(&format!("({inner})")) }
            }
            'V' => out.push_str(&format!("v{first}")),
            'W' => out.push_str(&format!("v{}", first + 1)),
            other => out.push(other),
        }
    }
    out
}

/// An expression out of which characters were taken, or into which some were put.
pub fn broken(seed: &mut Seed) -> String {
    let mut chars: Vec<char> = expression(seed).chars().collect();
    chars.truncate(120);
    for _ in 0..1 + seed.below(3) {
        let at = seed.below(chars.len().max(1));
        match seed.below(4) {
            0 if !chars.is_empty() => {
                chars.remove(at);
            }
            1 => chars.truncate(at),
            _ => {
                let put = seed.one_of(&[
                    "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "!", "-", "+", "&&", "in ", "'", "`", "#", " ",
                    "1", "a", "true", ".",
                ]);
                chars.splice(at..at, put.chars());
            }
        }
    }
    chars.into_iter().collect()
}
