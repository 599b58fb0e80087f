"""Scripts by which a shell completes commands, options and the names of configs; made of the parser.

They ask nobody while they run: all words are in them, and the names of configs and targets are read from the
files of the working directory by the shell itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from mlkit.commands.parser import Parser

_CONFIGS = "ls models 2>/dev/null | sed -n 's/\\.ya\\{0,1\\}ml$//p'"
_TARGETS = "sed -n 's/^\\[targets\\.\\([A-Za-z0-9_-]*\\)\\]$/\\1/p' mlkit.toml 2>/dev/null; echo local"


def completion(shell: str, commands: Mapping[str, Parser], summaries: Mapping[str, str]) -> str:
    """The script of a shell.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        commands: The parser of each command.
        summaries: What each command does, in a few words.
    """
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return make(commands, summaries)


def _options(parser: Parser) -> Iterator[argparse.Action]:
    return (action for action in parser.actions if action.option_strings)


def _takes_config(parser: Parser) -> bool:
    return any(action.dest == "name" and not action.option_strings for action in parser.actions)


def _choices(action: argparse.Action) -> str:
    """Command or words that give the values of an option; empty where any file or text may stand."""
    return " ".join(map(str, action.choices or ()))


def _bash(commands: Mapping[str, Parser], summaries: Mapping[str, str]) -> str:
    cases, values = [], []
    for name, parser in commands.items():
        words = " ".join(text for action in _options(parser) for text in action.option_strings)
        first = _bash_first(parser)
        cases.append(f'        {name}) options="{words}"; first={first} ;;')
        values += [
            f'        {name}:{text}) COMPREPLY=($(compgen -W "{_choices(action)}" -- "$cur")); return ;;'
            for action in _options(parser)
            if action.choices
            for text in action.option_strings
        ]
    return _BASH.format(
        verbs=" ".join(summaries),
        cases="\n".join(cases),
        values="\n".join(values),
        configs=_CONFIGS,
        targets=_TARGETS,
    )


def _bash_first(parser: Parser) -> str:
    if _takes_config(parser):
        return '"$(_mlkit_configs)"'
    words = next(
        (_choices(action) for action in parser.actions if action.choices and not action.option_strings), ""
    )
    return f'"{words}"'


_BASH = """\
# mlkit completion for bash. In ~/.bashrc:  eval "$(mlkit completion bash)"
_mlkit_configs() {{ {configs}; }}
_mlkit_targets() {{ {targets}; }}
_mlkit() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb= word options first
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        if [[ $word != -* ]]; then verb=$word; break; fi
    done
    if [[ $prev == --target ]]; then
        COMPREPLY=($(compgen -W "$(_mlkit_targets)" -- "$cur")); return
    fi
    case $verb:$prev in
{values}
    esac
    case $verb in
        "") options="--help --version"; first="{verbs}" ;;
{cases}
        *) return ;;
    esac
    if [[ $cur == -* ]]; then first=$options; fi
    COMPREPLY=($(compgen -W "$first" -- "$cur"))
}}
complete -o default -F _mlkit mlkit"""


def _zsh(commands: Mapping[str, Parser], summaries: Mapping[str, str]) -> str:
    verbs = "\n".join(f"    {_quoted(f'{name}:{text}')}" for name, text in summaries.items())
    cases = []
    for name, parser in commands.items():
        lines = [_zsh_option(action) for action in _options(parser)]
        lines += [_quoted(f"*:{what}:{source}") for what, source in _zsh_rest(parser)]
        cases.append(f"    {name}) _arguments {' '.join(lines)} ;;")
    return _ZSH.format(verbs=verbs, cases="\n".join(cases), configs=_CONFIGS, targets=_TARGETS)


def _zsh_option(action: argparse.Action) -> str:
    value = ""
    if action.nargs != 0:
        source = (
            "_mlkit_targets"
            if action.dest == "target"
            else f"({_choices(action)})"
            if action.choices
            else "_files"
        )
        value = f":{action.dest}:{source}"
    names = action.option_strings
    text = f"[{_zsh_text(action.help or '')}]{value}"
    return " ".join(_quoted(f"{name}{text}") for name in names)


def _zsh_rest(parser: Parser) -> list[tuple[str, str]]:
    return [("config", "_mlkit_configs")] if _takes_config(parser) else [("file", "_files")]


def _zsh_text(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", ",")


_ZSH = """\
#compdef mlkit
# mlkit completion for zsh. In ~/.zshrc, after compinit:  eval "$(mlkit completion zsh)"
_mlkit_configs() {{ local -a found; found=(${{(f)"$({configs})"}}); compadd -a found; _files }}
_mlkit_targets() {{ local -a found; found=(${{(f)"$({targets})"}}); compadd -a found }}
_mlkit() {{
  local -a verbs
  verbs=(
{verbs}
  )
  if (( CURRENT == 2 )); then _describe command verbs; return; fi
  local verb=$words[2]
  shift words; (( CURRENT-- ))
  case $verb in
{cases}
  esac
}}
compdef _mlkit mlkit"""


def _fish(commands: Mapping[str, Parser], summaries: Mapping[str, str]) -> str:
    lines = ["# mlkit completion for fish. In config.fish:  mlkit completion fish | source"]
    lines += [
        f"complete -c mlkit -n __fish_use_subcommand -f -a {name} -d {_quoted(text)}"
        for name, text in summaries.items()
    ]
    for name, parser in commands.items():
        seen = f"complete -c mlkit -n '__fish_seen_subcommand_from {name}'"
        if _takes_config(parser):
            lines.append(f'{seen} -a "({_fish_text(_CONFIGS)})"')
        for action in _options(parser):
            flags = " ".join(
                f"-l {text[2:]}" if text.startswith("--") else f"-s {text[1:]}"
                for text in action.option_strings
            )
            lines.append(f"{seen} {flags}{_fish_value(action)} -d {_quoted(action.help or '')}")
    return "\n".join(lines)


def _fish_value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.dest == "target":
        return f' -x -a "({_fish_text(_TARGETS)})"'
    return f" -x -a {_quoted(_choices(action))}" if action.choices else " -r"


def _fish_text(command: str) -> str:
    return command.replace("\\", "\\\\").replace("$", "\\$")


def _quoted(text: str) -> str:
    """A word of a shell, in single quotes."""
    return "'" + text.replace("'", "") + "'"
