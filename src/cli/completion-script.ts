export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** The hidden command that the scripts ask: `sluice complete -- WORD...`. Answers lines of `word<TAB>text`, or FILES. */
export const COMPLETE_COMMAND = 'complete';
/** The answer that leaves completing to the shell. */
export const FILES = ':files';

/** What a shell has to read to complete `sluice`. */
export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}

/**
 * Bash splits words at the characters of COMP_WORDBREAKS, of which addresses have ":" and options "=". So the words come from
 * the line itself, and from each answer goes what bash takes for words before.
 */
const BASH = `# sluice completion for bash; in ~/.bashrc: source <(sluice completion bash)
_sluice() {
  local line=\${COMP_LINE:0:COMP_POINT} words answer word before
  COMPREPLY=()
  read -ra words <<<"$line"
  case $line in *[[:space:]]) words+=('') ;; esac
  word=\${words[\${#words[@]}-1]}
  answer=$("\${words[0]}" ${COMPLETE_COMMAND} -- "\${words[@]:1}" 2>/dev/null) || return 0
  if [[ $answer == '${FILES}' ]]; then
    before=
    if [[ $word == --*=* ]]; then before=\${word%%=*}= word=\${word#*=}; fi
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
    return 0
  fi
  before=
  if [[ $COMP_WORDBREAKS == *:* && $word == *:* ]]; then before=\${word%"\${word##*:}"}; fi
  if [[ $COMP_WORDBREAKS == *=* && $word == --*=* ]]; then before=\${word%%=*}=; fi
  while IFS=$'\\t' read -r line _; do
    if [[ -n $line && $line == "$word"* ]]; then COMPREPLY+=("\${line#"$before"}"); fi
  done <<<"$answer"
}
complete -F _sluice sluice
`;

const ZSH = `#compdef sluice
# sluice completion for zsh; in ~/.zshrc, behind compinit: source <(sluice completion zsh)
_sluice() {
  local answer line
  local -a found shown
  answer=$("\${words[1]}" ${COMPLETE_COMMAND} -- "\${(@)words[2,CURRENT]}" 2>/dev/null) || return 1
  if [[ $answer == '${FILES}' ]]; then
    _files
    return
  fi
  for line in "\${(@f)answer}"; do
    [[ -n $line ]] || continue
    found+=("\${line%%$'\\t'*}")
    if [[ $line == *$'\\t'?* ]]; then shown+=("\${line%%$'\\t'*}  -- \${line#*$'\\t'}"); else shown+=("\${line%%$'\\t'*}"); fi
  done
  compadd -l -d shown -a found
}
compdef _sluice sluice
`;

const FISH = `# sluice completion for fish; in ~/.config/fish/config.fish: sluice completion fish | source
function __sluice_complete
    set -l words (commandline -opc)
    set -l answer ($words[1] ${COMPLETE_COMMAND} -- $words[2..-1] (commandline -ct) 2>/dev/null)
    if test "$answer" = '${FILES}'
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $answer
    end
end
complete -c sluice -f -a '(__sluice_complete)'
`;

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
